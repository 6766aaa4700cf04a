# nclip_built_in(NAME HEADER FILE ...)
# makes NAMEs.c in the build folder, with every file as a string, so that the program runs
# without them: nc_NAME_names and nc_NAME_texts, which HEADER declares; both end with NULL.
function(nclip_built_in kind header)
    set(arrays "")
    set(names "")
    set(texts "")
    foreach(file ${ARGN})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
        get_filename_component(name ${file} NAME_WE)
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
endfunction()
