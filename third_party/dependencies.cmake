# How each dependency is found. Every one is a Debian package; third_party/install.sh
# installs them, and names in one line what is missing where it may not. What differs between
# releases of Debian and Ubuntu is settled here (and, for oneDNN, in kernels/cpu/onednn.c).

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp libwebpdemux)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1) # libcyaml asks for it, but its package may not
pkg_check_modules(CYAML REQUIRED IMPORTED_TARGET libcyaml)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

# By header and library, because the files of their packages mislead: oneDNN's for CMake insists on
# OpenCL's development files, which only its GPU half needs; msgpack's for pkg-config is called
# msgpack or msgpack-c, and the latter names a folder relative to nothing; stb's is right, but
# which folder its headers are seen from depends on who asks.
function(nclip_find name header)
    find_path(${name}_INCLUDE_DIR ${header} REQUIRED)
    find_library(${name}_LIBRARY NAMES ${ARGN} REQUIRED)
    add_library(nclip_${name} INTERFACE)
    target_include_directories(nclip_${name} SYSTEM INTERFACE ${${name}_INCLUDE_DIR})
    target_link_libraries(nclip_${name} INTERFACE ${${name}_LIBRARY})
endfunction()
nclip_find(DNNL oneapi/dnnl/dnnl.h dnnl)
nclip_find(MSGPACK msgpack.h msgpack-c msgpackc)
nclip_find(STB stb/stb_image.h stb)

add_library(nclip_dependencies INTERFACE)
target_link_libraries(nclip_dependencies INTERFACE
    nclip_DNNL nclip_MSGPACK nclip_STB OpenMP::OpenMP_C ZLIB::ZLIB Threads::Threads
    PkgConfig::JPEG PkgConfig::WEBP PkgConfig::CURL PkgConfig::CJSON PkgConfig::CYAML PkgConfig::YAML
    PkgConfig::XXHASH PkgConfig::ZSTD PkgConfig::UTF8PROC m)

# Reading ahead by io_uring; without it threads read.
pkg_check_modules(URING IMPORTED_TARGET liburing)
if(URING_FOUND)
    target_link_libraries(nclip_dependencies INTERFACE PkgConfig::URING)
    target_compile_definitions(nclip_dependencies INTERFACE NCLIP_URING)
else()
    message(STATUS "nclip: this build reads ahead by threads: no liburing was found")
endif()

# Many ranks. FindMPI makes its target also where it found nothing, and what it found may lack the
# headers: a program that includes mpi.h has the last word.
set(NCLIP_WITH_MPI OFF)
if(NOT NCLIP_MPI STREQUAL OFF)
    if(NCLIP_MPI STREQUAL ON)
        find_package(MPI REQUIRED COMPONENTS C)
    else()
        find_package(MPI QUIET COMPONENTS C)
    endif()
    if(MPI_C_FOUND)
        include(CheckCSourceCompiles)
        include(CMakePushCheckState)
        cmake_push_check_state(RESET)
        set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_C)
        set(CMAKE_REQUIRED_QUIET ON)
        unset(NCLIP_MPI_LINKS CACHE) # it may have been installed since
        check_c_source_compiles("#include <mpi.h>\nint main(void) { return MPI_Finalize(); }"
            NCLIP_MPI_LINKS)
        cmake_pop_check_state()
        set(NCLIP_WITH_MPI ${NCLIP_MPI_LINKS})
    endif()
    if(NCLIP_MPI STREQUAL ON AND NOT NCLIP_WITH_MPI)
        message(FATAL_ERROR "NCLIP_MPI is ON, but a program that calls MPI does not link: "
            "libopenmpi-dev or another MPI's development package is missing")
    endif()
endif()
if(NCLIP_WITH_MPI)
    target_link_libraries(nclip_dependencies INTERFACE MPI::MPI_C)
    target_compile_definitions(nclip_dependencies INTERFACE NCLIP_MPI)
else()
    message(STATUS "nclip: this build trains on one rank only: no MPI was found")
endif()
