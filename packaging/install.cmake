# packaging/install.cmake - what `cmake --install` puts where. packaging/deb makes a .deb of it.
include(GNUInstallDirs)

install(TARGETS batchproxy batchproxy-bench RUNTIME)
file(GLOB examples configs/*.yaml configs/*.jsonl)
install(FILES ${examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES README.md CHANGELOG.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs FILES_MATCHING PATTERN *.md)
if(EXISTS ${PROJECT_SOURCE_DIR}/share/batchproxy)
  install(DIRECTORY share/batchproxy/ DESTINATION ${CMAKE_INSTALL_DATADIR}/batchproxy)
endif()

# Made of the program itself, so that they say what it has.
set(words ${CMAKE_BINARY_DIR}/words)
add_custom_command(OUTPUT ${words}/done
  COMMAND ${CMAKE_COMMAND} -E make_directory ${words}
  COMMAND batchproxy completion bash > ${words}/batchproxy
  COMMAND batchproxy completion zsh > ${words}/_batchproxy
  COMMAND batchproxy completion fish > ${words}/batchproxy.fish
  COMMAND batchproxy manual 1 > ${words}/batchproxy.1
  COMMAND batchproxy manual 5 > ${words}/batchproxy.yaml.5
  COMMAND ${CMAKE_COMMAND} -E touch ${words}/done
  DEPENDS batchproxy VERBATIM)
if(BATCHPROXY_SANITIZE)
  add_custom_target(words DEPENDS ${words}/done)
else()
  add_custom_target(words ALL DEPENDS ${words}/done)
endif()
install(FILES ${words}/batchproxy DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${words}/_batchproxy DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${words}/batchproxy.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${words}/batchproxy.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${words}/batchproxy.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
