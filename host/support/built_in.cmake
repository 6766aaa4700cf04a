# nclip_built_in(NAME HEADER [WITH_ENDINGS] FILE ...)
# makes NAMEs.c in the build folder, with every file as a string, so that the program runs
# without them: nc_NAME_names and nc_NAME_texts, which HEADER declares; both end with NULL.
# A name is the file's without its folder and, unless WITH_ENDINGS is there, its ending. The made
# file joins NCLIP_SOURCES.
function(nclip_built_in kind header)
    set(arrays "")
    set(names "")
    set(texts "")
    set(part NAME_WE)
    if("WITH_ENDINGS" IN_LIST ARGN)
        list(REMOVE_ITEM ARGN WITH_ENDINGS)
        set(part NAME)
    endif()
    foreach(file ${ARGN})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
        get_filename_component(name ${file} ${part})
        file(READ ${file} bytes HEX)
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
        string(MAKE_C_IDENTIFIER "${kind}_${name}" array)
        string(APPEND arrays "static const unsigned char ${array}[] = {${bytes}0};\n")
        string(APPEND names "    \"${name}\",\n")
        string(APPEND texts "    (const char *)${array},\n")
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${kind}s.c CONTENT
"/* Made from files of configs/ by host/support/built_in.cmake. */
#include \"${CMAKE_CURRENT_SOURCE_DIR}/${header}\"

#include <stddef.h>

${arrays}
const char *const nc_${kind}_names[] = {
${names}    NULL,
};

const char *const nc_${kind}_texts[] = {
${texts}    NULL,
};
")
    set(NCLIP_SOURCES ${NCLIP_SOURCES} ${CMAKE_CURRENT_BINARY_DIR}/${kind}s.c PARENT_SCOPE)
endfunction()
