# SPDX-License-Identifier: MIT OR Apache-2.0
# kith_flags: how kith's own files are compiled. kith_link: what everything that contains them needs at the end.
include(CheckCCompilerFlag)
include(CheckPIESupported)
include(CheckLinkerFlag)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
check_pie_supported(LANGUAGES C)

# Assertions stay on in releases: no build type defines NDEBUG.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g")
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()

add_library(kith_flags INTERFACE)
add_library(kith_link INTERFACE)
target_link_libraries(kith_link INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)

target_compile_options(kith_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla -Wswitch-enum -Wpointer-arith -Wcast-qual
    -Wcast-align -Wwrite-strings -Wundef -Wformat=2 -Wimplicit-fallthrough -Wunused -fno-common
    -fno-semantic-interposition)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(kith_flags INTERFACE -Wlogical-op -Wduplicated-cond -Wtrampolines)
else()
    target_compile_options(kith_flags INTERFACE -Wno-string-conversion) # assert(!"why this cannot happen")
endif()
if(KITH_WERROR)
    target_compile_options(kith_flags INTERFACE -Werror)
    target_link_options(kith_flags INTERFACE -Werror)
endif()

# ---- hardening ----
set(hardening -fstack-protector-strong)
check_c_compiler_flag(-fstack-clash-protection KITH_HAS_STACK_CLASH)
check_c_compiler_flag(-fcf-protection KITH_HAS_CF_PROTECTION)
if(KITH_HAS_STACK_CLASH)
    list(APPEND hardening -fstack-clash-protection)
endif()
if(KITH_HAS_CF_PROTECTION)
    list(APPEND hardening -fcf-protection)
endif()
target_compile_options(kith_flags INTERFACE ${hardening})
if(NOT KITH_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(kith_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
check_linker_flag(C "-Wl,-z,relro,-z,now" KITH_HAS_RELRO)
if(KITH_HAS_RELRO)
    target_link_options(kith_link INTERFACE "-Wl,-z,relro,-z,now")
endif()
# A static OpenSSL must not answer for the shared one that some other library may bring along.
check_linker_flag(C "-Wl,--exclude-libs,libcrypto.a:libssl.a" KITH_HAS_EXCLUDE_LIBS)
if(KITH_HAS_EXCLUDE_LIBS)
    target_link_options(kith_link INTERFACE "-Wl,--exclude-libs,libcrypto.a:libssl.a")
endif()

# ---- variants ----
if(KITH_SANITIZE)
    target_compile_options(kith_flags INTERFACE -fsanitize=${KITH_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    target_link_options(kith_link INTERFACE -fsanitize=${KITH_SANITIZE})
endif()
if(KITH_SANITIZE STREQUAL "thread")
    add_library(kith_tsan OBJECT test/tsan_close.c)
    target_compile_definitions(kith_tsan PRIVATE _GNU_SOURCE)
    target_link_libraries(kith_tsan PRIVATE kith_flags)
    target_link_libraries(kith_link INTERFACE $<TARGET_OBJECTS:kith_tsan>)
endif()
if(KITH_FUZZ)
    target_compile_options(kith_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_compile_definitions(kith_flags INTERFACE FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
endif()
if(KITH_COVERAGE)
    target_compile_options(kith_flags INTERFACE --coverage)
    target_link_options(kith_link INTERFACE --coverage)
endif()
