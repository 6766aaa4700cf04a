# The kernels of kernels/cpu, once for each level of processor (levels.c chooses when the program
# runs). The rest is compiled for the least machine of its kind.
#   NCLIP_CPU_LEVELS   names, from the least to the most
#   NCLIP_LEVEL_SOURCES, NCLIP_LEVEL_OBJECTS   what is compiled for each, and what comes of it
file(GLOB NCLIP_LEVEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cpu/*.c)
list(REMOVE_ITEM NCLIP_LEVEL_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cpu/levels.c
    ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cpu/onednn.c)

if(NCLIP_NATIVE)
    set(NCLIP_CPU_LEVELS native)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(NCLIP_CPU_LEVELS v2 v3 v4)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(NCLIP_CPU_LEVELS neon)
else()
    set(NCLIP_CPU_LEVELS generic)
endif()
set(NCLIP_CPU_v2 -march=x86-64-v2)
set(NCLIP_CPU_v3 -march=x86-64-v3)
set(NCLIP_CPU_v4 -march=x86-64-v4)
# Loops are written to be vectorised; rounding stays IEEE (the two change no result).
set(NCLIP_KERNEL_OPTIONS -O3 -fno-math-errno -fno-trapping-math)

set(NCLIP_LEVEL_OBJECTS)
foreach(level ${NCLIP_CPU_LEVELS})
    add_library(nclip_cpu_${level} OBJECT ${NCLIP_LEVEL_SOURCES})
    target_compile_definitions(nclip_cpu_${level} PRIVATE NC_LEVEL=${level})
    target_compile_options(nclip_cpu_${level} PRIVATE ${NCLIP_KERNEL_OPTIONS} ${NCLIP_CPU_${level}})
    target_include_directories(nclip_cpu_${level} PRIVATE include)
    target_link_libraries(nclip_cpu_${level} PRIVATE nclip_options nclip_dependencies)
    set_target_properties(nclip_cpu_${level} PROPERTIES
        POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
    list(APPEND NCLIP_LEVEL_OBJECTS $<TARGET_OBJECTS:nclip_cpu_${level}>)
endforeach()
list(TRANSFORM NCLIP_CPU_LEVELS REPLACE "(.+)" "LEVEL(\\1)" OUTPUT_VARIABLE levels)
list(JOIN levels " " levels)
set_source_files_properties(kernels/cpu/levels.c PROPERTIES
    COMPILE_DEFINITIONS "NCLIP_CPU_LEVELS=${levels}")
