# SPDX-License-Identifier: MIT OR Apache-2.0
# Finds the libraries, through pkg-config only. Where the system's own are too old, tools/setup has built newer
# ones into a per-user cache and says where they are.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/setup --pkg-config-path
    OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(ENV{PKG_CONFIG_PATH} "${path}:$ENV{PKG_CONFIG_PATH}")

# When the cache moves, forget what was found in its old place.
if(DEFINED KITH_DEPS_PATH AND NOT KITH_DEPS_PATH STREQUAL path)
    get_cmake_property(names CACHE_VARIABLES)
    list(FILTER names INCLUDE REGEX "^(__pkg_config_checked|pkgcfg_lib)_(OPENSSL|BLAKE3)")
    foreach(name IN LISTS names)
        unset(${name} CACHE)
    endforeach()
endif()
set(KITH_DEPS_PATH "${path}" CACHE INTERNAL "")

function(kith_need prefix spec)
    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${spec})
    if(NOT ${prefix}_FOUND)
        message(FATAL_ERROR "${spec} was not found; run: tools/setup build")
    endif()
    message(STATUS "${spec}: ${${prefix}_VERSION}")
endfunction()

kith_need(OPENSSL openssl>=3.5)
kith_need(BLAKE3 libblake3)
kith_need(SODIUM libsodium)
kith_need(LIBUV libuv>=1.44)
kith_need(SQLITE sqlite3)
kith_need(CARES libcares)
kith_need(JANSSON jansson)
kith_need(INIH inih)
kith_need(EDIT libedit)
kith_need(QRENCODE libqrencode)
kith_need(CURL libcurl>=7.87)
# Only for Falcon-512, which no standard has yet: used where it is, asked for by nothing.
pkg_check_modules(OQS QUIET IMPORTED_TARGET liboqs)
if(OQS_FOUND)
    message(STATUS "liboqs: ${OQS_VERSION} (Falcon-512)")
endif()
pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
