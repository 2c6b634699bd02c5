// proxy/batches/multipart_reader.h - MultipartReader: a form with files (multipart/form-data, RFC
// 7578) as it arrives, in any pieces and in constant memory.
//
// Sans-io: bytes in, calls of a sink out.
//
// Threading: confined to one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

struct FormPart {
  std::string name{};
  std::optional<std::string> filename{};  // of a file
};

// Gets each part: begin, its bytes, end.
class FormSink {
 public:
  virtual void begin_part(const FormPart& part) = 0;
  virtual void add_bytes(std::string_view bytes) = 0;
  virtual void end_part() = 0;

 protected:
  ~FormSink() = default;
};

class MultipartReader {
 public:
  // `sink` must outlive it.
  MultipartReader(std::string_view boundary, FormSink& sink);

  // False when the form is malformed; then nothing more may be fed.
  bool feed(std::string_view bytes);
  // Whether the form's end has come.
  bool done() const { return at_ == At::kEnd; }

 private:
  enum class At { kPreamble, kDelimiter, kHead, kBody, kEnd };

  bool step(bool& again);
  bool read_head(std::string_view head);
  void drop(std::size_t bytes) { begin_ += bytes; }
  std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }

  const std::string delimiter_;  // with the line end before it
  FormSink& sink_;
  At at_ = At::kPreamble;
  std::string buffer_ = "\r\n";  // the first delimiter may have no line before it
  std::size_t begin_ = 0;        // of what is not dealt with
};

// The boundary that a Content-Type names; nothing when it is no form.
std::optional<std::string> boundary_of(std::string_view content_type);

}  // namespace batchproxy
