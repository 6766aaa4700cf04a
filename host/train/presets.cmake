# Makes presets.c in the build folder: every configs/*.yaml as a string, so that presets
# work wherever the program runs.
include(host/support/embed_files.cmake)
file(GLOB preset_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/configs/*.yaml)
nclip_embed_files(${CMAKE_CURRENT_BINARY_DIR}/presets.c
    ${CMAKE_CURRENT_SOURCE_DIR}/host/train/presets.h nc_preset TRUE ${preset_files})
