# Makes benchmark_files.c in the build folder: the texts that benchmarks need.
include(host/support/embed_files.cmake)
file(GLOB benchmark_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/configs/zeroshot/*.txt
    ${CMAKE_CURRENT_SOURCE_DIR}/configs/celeba.txt ${CMAKE_CURRENT_SOURCE_DIR}/configs/benchmarks.json)
nclip_embed_files(${CMAKE_CURRENT_BINARY_DIR}/benchmark_files.c
    ${CMAKE_CURRENT_SOURCE_DIR}/host/evaluate/builtin.h nc_builtin FALSE ${benchmark_files})
