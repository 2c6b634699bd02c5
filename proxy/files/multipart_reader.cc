// proxy/files/multipart_reader.cc - see multipart_reader.h.
#include "proxy/files/multipart_reader.h"

#include <algorithm>

#include "backends/http/head.h"
#include "configs/text/trim.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMaxHead = 16 * 1024;
constexpr std::size_t kLongestBoundary = 70;  // RFC 2046, 5.1.1
constexpr std::string_view kLineEnd = "\r\n";

// The value of `name` among the parameters behind the first `;`, without its quotes.
std::optional<std::string> parameter(std::string_view field, std::string_view name) {
  std::size_t at = field.find(';');
  while (at < field.size()) {
    const std::size_t begin = field.find_first_not_of("; \t", at);
    const std::size_t equals = field.find('=', begin);
    if (begin >= field.size() || equals >= field.size()) return std::nullopt;
    const bool wanted = http::iequals(field.substr(begin, equals - begin), name);
    std::string value;
    at = equals + 1;
    if (at < field.size() && field[at] == '"') {
      for (++at; at < field.size() && field[at] != '"'; ++at) {
        if (field[at] == '\\' && at + 1 < field.size()) ++at;
        value += field[at];
      }
      at = field.find(';', at);
    } else {
      const std::size_t end = std::min(field.find(';', at), field.size());
      value = trim(field.substr(at, end - at));
      at = end;
    }
    if (wanted) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> boundary_of(std::string_view content_type) {
  const std::string_view kind = trim(content_type.substr(0, content_type.find(';')));
  if (!http::iequals(kind, "multipart/form-data")) return std::nullopt;
  auto boundary = parameter(content_type, "boundary");
  if (boundary && (boundary->empty() || boundary->size() > kLongestBoundary)) return std::nullopt;
  return boundary;
}

MultipartReader::MultipartReader(std::string_view boundary, FormSink& sink)
    : delimiter_(std::string("\r\n--").append(boundary)), sink_(sink) {}

bool MultipartReader::feed(std::string_view bytes) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_ += bytes;
  for (bool again = true; again;) {
    if (!step(again)) return false;
  }
  return true;
}

// Deals with the next piece of the form, if it is there whole. False: it is malformed.
bool MultipartReader::step(bool& again) {
  const std::string_view rest = this->rest();
  again = false;
  switch (at_) {
    case At::kPreamble:
    case At::kBody: {
      const std::size_t end = rest.find(delimiter_);
      const std::size_t keep = delimiter_.size() - 1;  // may begin a delimiter
      const std::size_t known =
          end != std::string_view::npos ? end : rest.size() - std::min(keep, rest.size());
      if (at_ == At::kBody && known > 0) sink_.add_bytes(rest.substr(0, known));
      drop(known);
      if (end == std::string_view::npos) return true;
      if (at_ == At::kBody) sink_.end_part();
      drop(delimiter_.size());
      at_ = At::kDelimiter;
      break;
    }
    case At::kDelimiter: {
      if (rest.size() < 2) return true;
      const bool last = rest.starts_with("--");
      if (!last && !rest.starts_with(kLineEnd)) return false;
      if (!last) drop(kLineEnd.size());
      at_ = last ? At::kEnd : At::kHead;
      break;
    }
    case At::kHead: {
      const std::size_t end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) return rest.size() < kMaxHead + 4;
      if (end > kMaxHead || !read_head(rest.substr(0, end))) return false;
      drop(end + 4);
      at_ = At::kBody;
      break;
    }
    case At::kEnd:
      drop(rest.size());  // an epilogue says nothing, however long it is
      return true;
  }
  again = true;
  return true;
}

bool MultipartReader::read_head(std::string_view head) {
  FormPart part;
  bool named = false;
  while (!head.empty()) {
    const std::size_t end = std::min(head.find(kLineEnd), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + kLineEnd.size(), head.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return false;
    if (!http::iequals(trim(line.substr(0, colon)), "content-disposition")) continue;
    auto name = parameter(line, "name");
    if (!name) return false;
    part.name = *std::move(name);
    part.filename = parameter(line, "filename");
    named = true;
  }
  if (named) sink_.begin_part(part);
  return named;
}

}  // namespace batchproxy
