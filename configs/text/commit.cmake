# Writes batchproxy_commit.h into the build folder: which commit is being built, and whether it was changed.
# Run at every build; the file is touched only when it would say something else. COMMIT: what whoever builds says
# it is, where there is no git.
set(commit "${COMMIT}")
if(commit STREQUAL "")
  execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
    WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
    RESULT_VARIABLE failed)
  if(failed OR commit STREQUAL "")
    set(commit "unknown")
  endif()
endif()
set(text "// Made by configs/text/commit.cmake.\n#pragma once\n
namespace batchproxy {\ninline constexpr const char* kCommit = \"${commit}\";\n}\n")
set(old "")
if(EXISTS ${TARGET})
  file(READ ${TARGET} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${TARGET} "${text}")
endif()
