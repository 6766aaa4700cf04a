# Makes presets.c in the build folder: every configs/*.yaml as a string, so that presets
# work wherever the program runs.
file(GLOB preset_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/configs/*.yaml)
set(preset_arrays "")
set(preset_names "")
set(preset_texts "")
foreach(file ${preset_files})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(MAKE_C_IDENTIFIER "preset_${name}" array)
    string(APPEND preset_arrays "static const unsigned char ${array}[] = {${bytes}0};\n")
    string(APPEND preset_names "    \"${name}\",\n")
    string(APPEND preset_texts "    (const char *)${array},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/presets.c CONTENT
"/* Made from the files of configs/ by host/train/presets.cmake. */
#include \"${CMAKE_CURRENT_SOURCE_DIR}/host/train/presets.h\"

#include <stddef.h>

${preset_arrays}
const char *const nc_preset_names[] = {
${preset_names}    NULL,
};

const char *const nc_preset_texts[] = {
${preset_texts}    NULL,
};
")
