# packaging/portable.cmake - everything but glibc linked in, so that the program runs on any Linux
# whose glibc is 2.35 or newer. Included before the libraries are looked for.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(OPENSSL_USE_STATIC_LIBS ON)
add_link_options(-static-libstdc++ -static-libgcc -Wl,--gc-sections -Wl,--build-id=sha1)
add_compile_options(-ffunction-sections -fdata-sections)
# The same bytes wherever it is built.
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)

# Of these the packages of Debian have static libraries, but tell CMake of the shared ones only.
function(link_static_libraries)
  foreach(name yaml-cpp tinfo)
    find_library(STATIC_${name} NAMES lib${name}.a REQUIRED)
  endforeach()
  set_target_properties(yaml-cpp PROPERTIES IMPORTED_LOCATION_NONE ${STATIC_yaml-cpp} IMPORTED_SONAME_NONE "")
  target_link_libraries(PkgConfig::ncursesw INTERFACE ${STATIC_tinfo})
endfunction()
