# libnclip, and what `cmake --install` installs: the program, the library in both forms, nclip.h
# and nclip.pc. The static library is all of nclip_core; of the shared one only nclip.h's functions
# can be seen.
include(GNUInstallDirs)

set_target_properties(nclip_core PROPERTIES OUTPUT_NAME nclip)
set_target_properties(nclip_objects nclip_core PROPERTIES
    POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)

add_library(nclip_shared SHARED host/library/library.c)
target_link_libraries(nclip_shared PRIVATE nclip_core)
set_target_properties(nclip_shared PROPERTIES OUTPUT_NAME nclip C_VISIBILITY_PRESET hidden
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/nclip.map)
# Also what other languages' objects would show.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/nclip.map "{ global: nc_clip_*; local: *; };\n")
target_link_options(nclip_shared PRIVATE
    LINKER:--version-script=${CMAKE_CURRENT_BINARY_DIR}/nclip.map)

# The folder of nclip.pc finds the rest, so that the installed tree can be moved.
file(RELATIVE_PATH NCLIP_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
# What library.c reaches of nclip_core needs; for static linking only.
set(NCLIP_STATIC_LIBS "-ldnnl -ljpeg -lwebpdemux -lwebp -lcjson -lutf8proc -lxxhash -lz -lzstd -fopenmp \
-lpthread -lm")
if(NCLIP_WITH_CUDA)
    string(APPEND NCLIP_STATIC_LIBS
        " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lstdc++ -lrt -ldl")
endif()
if(URING_FOUND)
    string(APPEND NCLIP_STATIC_LIBS " -luring")
endif()
configure_file(host/library/nclip.pc.in ${CMAKE_CURRENT_BINARY_DIR}/nclip.pc @ONLY)

# Which package of third_party/package.cmake a file is in.
install(TARGETS nclip RUNTIME COMPONENT program)
install(TARGETS nclip_shared LIBRARY COMPONENT library NAMELINK_COMPONENT development)
install(TARGETS nclip_core ARCHIVE COMPONENT development)
install(FILES include/public/nclip/nclip.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nclip
    COMPONENT development)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nclip.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT development)
