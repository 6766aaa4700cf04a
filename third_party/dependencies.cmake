# How each dependency is found. Every one is a Debian package; third_party/install.sh
# installs them, and names in one line what is missing where it may not.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
# oneDNN by name, not by its CMake package: Debian's package file insists on OpenCL's
# development files, which only oneDNN's GPU half needs.
find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(CYAML REQUIRED IMPORTED_TARGET libcyaml)
pkg_check_modules(MSGPACK REQUIRED IMPORTED_TARGET msgpack)
pkg_check_modules(STB REQUIRED IMPORTED_TARGET stb)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

add_library(nclip_dependencies INTERFACE)
target_include_directories(nclip_dependencies SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(nclip_dependencies INTERFACE
    ${DNNL_LIBRARY} OpenMP::OpenMP_C ZLIB::ZLIB Threads::Threads
    PkgConfig::JPEG PkgConfig::CURL PkgConfig::CJSON PkgConfig::CYAML PkgConfig::MSGPACK
    PkgConfig::STB PkgConfig::XXHASH PkgConfig::ZSTD PkgConfig::UTF8PROC m)

# Many ranks.
if(NOT NCLIP_MPI STREQUAL OFF)
    if(NCLIP_MPI STREQUAL ON)
        find_package(MPI REQUIRED COMPONENTS C)
    else()
        find_package(MPI QUIET COMPONENTS C)
    endif()
endif()
if(TARGET MPI::MPI_C)
    target_link_libraries(nclip_dependencies INTERFACE MPI::MPI_C)
    target_compile_definitions(nclip_dependencies INTERFACE NCLIP_MPI)
endif()
