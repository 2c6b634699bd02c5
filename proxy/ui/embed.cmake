# Writes the page, with its style and its script in it, as a C++ file:
#   cmake -DFOLDER=proxy/ui -DOUTPUT=page_text.cc -P embed.cmake
foreach(kind html css js)
  file(READ "${FOLDER}/page.${kind}" ${kind})
endforeach()
string(REPLACE "/*{page.css}*/" "${css}" html "${html}")
string(REPLACE "/*{page.js}*/" "${js}" html "${html}")
# Pieces, as compilers need not take a literal of more than 65,536 characters.
string(LENGTH "${html}" length)
set(pieces "")
set(at 0)
while(at LESS length)
  string(SUBSTRING "${html}" ${at} 8000 piece)
  string(APPEND pieces "\n    R\"page(${piece})page\"")
  math(EXPR at "${at} + 8000")
endwhile()
file(WRITE "${OUTPUT}" "// Made of proxy/ui/page.html, page.css and page.js by proxy/ui/embed.cmake.
#include <string_view>

namespace batchproxy {

extern const std::string_view kUiPageText;
const std::string_view kUiPageText{${pieces}};

}  // namespace batchproxy
")
