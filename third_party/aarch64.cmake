# Cross-builds for aarch64 on Debian, with its packages of that architecture (dpkg --add-architecture
# arm64) and its compiler gcc-aarch64-linux-gnu; tests run under qemu-user (tests/fresh/aarch64.sh):
#   cmake -S . -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=third_party/aarch64.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
if(NOT DEFINED CMAKE_CXX_COMPILER)
    set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
endif()
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
find_program(NCLIP_QEMU qemu-aarch64)
if(NCLIP_QEMU)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${NCLIP_QEMU})
endif()
