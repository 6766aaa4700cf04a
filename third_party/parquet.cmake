# Parquet, through Apache Arrow's libparquet, which Debian does not have. NCLIP_PARQUET says where from:
#
#   AUTO     Arrow's own packages (arrow.apache.org/install), where they are; else without (the default)
#   ON       these, or what `pip install pyarrow` put where python3 looks; else the build stops
#   FOLDER   a folder of pyarrow: .../site-packages/pyarrow
#   OFF      without: metadata can be turned into JSON lines, and nclip says how
#
# A program that is linked with pyarrow's libraries needs them where they are.
set(NCLIP_PARQUET AUTO CACHE STRING "Parquet: AUTO (Arrow's packages, where they are), ON, OFF, or a folder of pyarrow")

function(nclip_find_arrow)
    if(NCLIP_PARQUET STREQUAL OFF)
        return()
    endif()
    if(NCLIP_PARQUET STREQUAL AUTO OR NCLIP_PARQUET STREQUAL ON)
        find_package(Parquet CONFIG QUIET)
        if(TARGET Parquet::parquet_shared)
            set(NCLIP_ARROW_LIBRARIES Parquet::parquet_shared Arrow::arrow_shared PARENT_SCOPE)
            return()
        elseif(NCLIP_PARQUET STREQUAL AUTO)
            return()
        endif()
        execute_process(COMMAND python3 -c "import os, pyarrow; print(os.path.dirname(pyarrow.__file__))"
            OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    else()
        set(folder ${NCLIP_PARQUET})
    endif()
    file(GLOB arrow ${folder}/libarrow.so.*)
    file(GLOB parquet ${folder}/libparquet.so.*)
    if(NOT arrow OR NOT parquet OR NOT EXISTS ${folder}/include/parquet/arrow/reader.h)
        message(FATAL_ERROR "NCLIP_PARQUET is ${NCLIP_PARQUET}, but neither Arrow's packages nor pyarrow are "
            "there: pip install pyarrow, and name the folder that it lies in")
    endif()
    list(GET arrow 0 arrow)
    list(GET parquet 0 parquet)
    add_library(nclip_arrow INTERFACE)
    target_include_directories(nclip_arrow SYSTEM INTERFACE ${folder}/include)
    target_link_libraries(nclip_arrow INTERFACE ${parquet} ${arrow})
    set(NCLIP_ARROW_LIBRARIES nclip_arrow PARENT_SCOPE)
endfunction()

nclip_find_arrow()
if(NCLIP_ARROW_LIBRARIES)
    enable_language(CXX)
    message(STATUS "nclip: this build reads and writes Parquet")
endif()
