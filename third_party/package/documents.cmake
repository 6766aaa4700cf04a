# Run by cpack when the files of each package lie in its folder: adds what Debian asks for in
# /usr/share/doc/PACKAGE, the notices of what is linked and a log of changes.
set(top ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH where that is set
foreach(component ${CPACK_COMPONENTS_ALL})
    string(TOUPPER ${component} upper)
    set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
    set(prefix ${top}/${component}${CPACK_PACKAGING_INSTALL_PREFIX})
    set(documents ${prefix}/share/doc/${package})
    if(component STREQUAL "program")
        set(linked ${prefix}/bin/nclip)
    else() # the static library is not linked yet: it will be as the shared one is
        file(GLOB_RECURSE linked ${top}/library/*.so.${CPACK_PACKAGE_VERSION})
    endif()
    execute_process(COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/notices.sh ${linked}
        OUTPUT_VARIABLE notices RESULT_VARIABLE failed)
    if(failed OR notices STREQUAL "")
        message(FATAL_ERROR "the notices of ${package} could not be made")
    endif()
    file(WRITE ${documents}/copyright
        "This is nclip ${CPACK_PACKAGE_VERSION}. Its source tree names no licence of its own.\n\n"
        "It is made of and linked with the following packages, whose notices follow.\n\n"
        "${notices}")
    file(WRITE ${documents}/changelog.Debian
        "nclip (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium\n\n"
        "  * Made by cpack from the source tree.\n\n"
        " -- ${CPACK_PACKAGE_CONTACT}  ${now}\n")
    execute_process(COMMAND gzip -9 -n -f ${documents}/changelog.Debian RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "gzip failed: ${failed}")
    endif()
endforeach()
