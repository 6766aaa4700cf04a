# nclip_embed_files(OUTPUT HEADER PREFIX [STRIP] FILES...): makes a C file that holds the text of
# each file, so that what configs/ has works wherever the program runs. It defines PREFIX_names
# and PREFIX_texts, which HEADER declares; both end with NULL. A name is the file's, without its
# folder and, where STRIP is TRUE, without its ending.
function(nclip_embed_files output header prefix strip)
    set(arrays "")
    set(names "")
    set(texts "")
    foreach(file ${ARGN})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
        get_filename_component(name ${file} NAME)
        if(strip)
            get_filename_component(name ${file} NAME_WE)
        endif()
        file(READ ${file} bytes HEX)
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
        string(MAKE_C_IDENTIFIER "file_${name}" array)
        string(APPEND arrays "static const unsigned char ${array}[] = {${bytes}0};\n")
        string(APPEND names "    \"${name}\",\n")
        string(APPEND texts "    (const char *)${array},\n")
    endforeach()
    file(CONFIGURE OUTPUT ${output} CONTENT
"/* Made from the files of configs/ by host/support/embed_files.cmake. */
#include \"${header}\"

#include <stddef.h>

${arrays}
const char *const ${prefix}_names[] = {
${names}    NULL,
};

const char *const ${prefix}_texts[] = {
${texts}    NULL,
};
")
endfunction()
