# Manual pages and shell completion, which the program makes of its own tables of options and
# `cmake --install` installs; and `cpack`, which makes Debian packages: nclip (the program), libnclip0
# and libnclip-dev. third_party/package.sh makes them from a clone.

set(NCLIP_PAGES ${CMAKE_CURRENT_BINARY_DIR}/pages)
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "nclip: no manual pages: what is built does not run here")
else()
    add_custom_command(OUTPUT ${NCLIP_PAGES}/man1/nclip.1.gz
        COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/third_party/package/pages.sh ${NCLIP_PAGES}
            ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:nclip>
        DEPENDS nclip third_party/package/pages.sh VERBATIM)
    add_custom_target(pages ALL DEPENDS ${NCLIP_PAGES}/man1/nclip.1.gz)
    if(EXISTS /etc/debian_version)
        set(zsh_folder zsh/vendor-completions)
    else()
        set(zsh_folder zsh/site-functions)
    endif()
    install(DIRECTORY ${NCLIP_PAGES}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT program)
    install(DIRECTORY ${NCLIP_PAGES}/bash/ COMPONENT program
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/bash-completion/completions)
    install(DIRECTORY ${NCLIP_PAGES}/zsh/ COMPONENT program
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/${zsh_folder})
    install(DIRECTORY ${NCLIP_PAGES}/fish/ COMPONENT program
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/fish/vendor_completions.d)
endif()
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(DIRECTORY configs/cluster DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT program)
install(FILES ${NCLIP_PRESETS} configs/README.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/configs COMPONENT program)
install(FILES tests/library/example/zero_shot.c
    DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/libnclip-dev/examples COMPONENT development)

# ---- cpack -----------------------------------------------------------------------------

# As Debian's own tools do, the packager is taken from DEBFULLNAME and DEBEMAIL.
foreach(part "NAME;nclip;DEBFULLNAME" "EMAIL;nclip@localhost;DEBEMAIL")
    list(GET part 0 which)
    list(GET part 1 packager_${which})
    list(GET part 2 variable)
    if(DEFINED ENV{${variable}})
        set(packager_${which} $ENV{${variable}})
    endif()
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_VERBATIM_VARIABLES ON) # there are quotes in them
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package's description begins with its own
set(CPACK_PACKAGE_NAME nclip)
set(CPACK_PACKAGE_CONTACT "${packager_NAME} <${packager_EMAIL}>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program library development)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# The release that it is for: one built elsewhere asks for other libraries.
set(release 1)
if(EXISTS /etc/os-release)
    file(STRINGS /etc/os-release lines REGEX "^(ID|VERSION_ID)=")
    foreach(line ${lines})
        string(REGEX REPLACE "^[A-Z_]+=\"?([^\"]*)\"?$" "\\1" value "${line}")
        if(line MATCHES "^ID=")
            set(system ${value})
        else()
            set(number ${value})
        endif()
    endforeach()
    if(system AND number)
        set(release 1~${system}${number})
    endif()
endif()
set(CPACK_DEBIAN_PACKAGE_RELEASE ${release})

set(library_package libnclip${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME nclip)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "Teaches CLIP to understand \"no\"
Embeds pictures once with a frozen CLIP, makes captions that deny something,
fine-tunes CLIP's text tower on them, evaluates the result, and writes folders
that transformers, diffusers and open_clip read.")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS "bash-completion")
if(TARGET MPI::MPI_C)
    set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "openmpi-bin")
endif()
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library_package})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/third_party/package/triggers)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "CLIP that understands \"no\": shared library
Texts and pictures to features, with the models that nclip fine-tunes.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libnclip-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "CLIP that understands \"no\": development files
The header, pkg-config's file, an example, and the static library, which asks
for the development files of what it is made of.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "${library_package} (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libdnnl-dev, libjpeg-dev, libcjson-dev, \
libutf8proc-dev, libxxhash-dev, zlib1g-dev")
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/third_party/package/documents.cmake)
include(CPack)
