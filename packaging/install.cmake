# packaging/install.cmake - what `cmake --install` puts where. packaging/deb makes a .deb of it.
include(GNUInstallDirs)

install(TARGETS batchproxy batchproxy-bench RUNTIME)
file(GLOB examples configs/*.yaml configs/*.jsonl)
install(FILES ${examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES README.md CHANGELOG.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs FILES_MATCHING PATTERN *.md)
# Alerting rules, a Grafana board, the schema of the configuration; units for systemd.
install(DIRECTORY share/batchproxy/ DESTINATION ${CMAKE_INSTALL_DATADIR}/batchproxy)
file(GLOB units packaging/systemd/*.service)
install(FILES ${units} DESTINATION ${CMAKE_INSTALL_DATADIR}/batchproxy/systemd)

# Made of the programs themselves, so that they say what these have.
set(words ${CMAKE_BINARY_DIR}/words)
set(made "")
foreach(program batchproxy batchproxy-bench)
  add_custom_command(
    OUTPUT ${words}/${program} ${words}/_${program} ${words}/${program}.fish ${words}/${program}.1
    COMMAND ${CMAKE_COMMAND} -E make_directory ${words}
    COMMAND ${program} completion bash > ${words}/${program}
    COMMAND ${program} completion zsh > ${words}/_${program}
    COMMAND ${program} completion fish > ${words}/${program}.fish
    COMMAND ${program} manual 1 > ${words}/${program}.1
    DEPENDS ${program} VERBATIM)
  list(APPEND made ${words}/${program})
  install(FILES ${words}/${program} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${words}/_${program} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${words}/${program}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(FILES ${words}/${program}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()
add_custom_command(OUTPUT ${words}/batchproxy.yaml.5
  COMMAND batchproxy manual 5 > ${words}/batchproxy.yaml.5
  DEPENDS batchproxy ${words}/batchproxy VERBATIM)
list(APPEND made ${words}/batchproxy.yaml.5)
install(FILES ${words}/batchproxy.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
if(BATCHPROXY_SANITIZE)
  add_custom_target(words DEPENDS ${made})
else()
  add_custom_target(words ALL DEPENDS ${made})
endif()
