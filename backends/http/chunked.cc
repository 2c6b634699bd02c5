// backends/http/chunked.cc - see chunked.h.
#include "backends/http/chunked.h"

#include <algorithm>

#include "backends/http/head.h"

namespace batchproxy::http {

namespace {

Error bad(const char* what) {
  return {Errc::kBadHttp, std::string("Malformed chunked body: ") + what};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
}

}  // namespace

Result<ChunkDecoder::Step> ChunkDecoder::next(std::string_view input) {
  std::size_t i = 0;
  while (i < input.size() && state_ != State::kDone) {
    if (state_ == State::kData) {
      const std::size_t n =
          static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, input.size() - i));
      remaining_ -= n;
      if (remaining_ == 0) state_ = State::kDataCr;
      return Step{i + n, input.substr(i, n)};
    }
    const char c = input[i++];
    std::optional<Error> error;
    switch (state_) {
      case State::kSize:
        error = size_byte(c);
        break;
      case State::kExtension:
        error = extension_byte(c);
        break;
      case State::kSizeEnd:
        if (c != '\n') return bad("a CR without LF after a chunk size");
        state_ = remaining_ == 0 ? State::kTrailer : State::kData;
        break;
      case State::kDataCr:
        if (c != '\r') return bad("a chunk does not end in CRLF");
        state_ = State::kDataLf;
        break;
      case State::kDataLf:
        if (c != '\n') return bad("a chunk does not end in CRLF");
        state_ = State::kSize;
        digits_ = line_ = 0;
        remaining_ = 0;
        break;
      case State::kTrailer:
        error = trailer_byte(c);
        break;
      case State::kData:
      case State::kDone:
        break;  // not reached: see the loop
    }
    if (error) return *error;
  }
  return Step{i, {}};
}

std::optional<Error> ChunkDecoder::size_byte(char c) {
  if (++line_ > kMaxLine) return bad("a chunk size line that is too long");
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > 15) return bad("a chunk size of more than 15 digits");
    remaining_ = remaining_ * 16 + static_cast<std::uint64_t>(digit);
    return std::nullopt;
  }
  if (digits_ == 0) return bad("no chunk size");
  if (c == '\r') {
    state_ = State::kSizeEnd;
  } else if (c == ';') {
    state_ = State::kExtension;
    extension_ = Extension::kBegin;
  } else {
    return bad("a chunk size with a byte that is not a hex digit");
  }
  return std::nullopt;
}

std::optional<Error> ChunkDecoder::extension_byte(char c) {
  if (++line_ > kMaxLine || ++extensions_ > kMaxExtensions) return bad("too long an extension");
  if (c != '\r' && is_control(c)) return bad("a control byte in a chunk extension");
  return extension_grammar(c);
}

// *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 7.1.1. What it says is
// dropped, but where it ends must have one reading only.
std::optional<Error> ChunkDecoder::extension_grammar(char c) {
  const bool blank = c == ' ' || c == '\t';
  const auto end_or_next = [&]() -> std::optional<Error> {
    if (c == '\r') {
      state_ = State::kSizeEnd;
    } else if (c == ';') {
      extension_ = Extension::kBegin;
    } else {
      return bad("a chunk extension that is not name=value");
    }
    return std::nullopt;
  };
  switch (extension_) {
    case Extension::kBegin:
      if (blank) return std::nullopt;
      if (!is_token_byte(c)) return bad("a chunk extension without a name");
      extension_ = Extension::kName;
      return std::nullopt;
    case Extension::kName:
      if (is_token_byte(c)) return std::nullopt;
      [[fallthrough]];
    case Extension::kAfterName:
      if (blank) {
        extension_ = Extension::kAfterName;
      } else if (c == '=') {
        extension_ = Extension::kValue;
      } else {
        return end_or_next();
      }
      return std::nullopt;
    case Extension::kValue:
      if (blank) return std::nullopt;
      if (c != '"' && !is_token_byte(c)) return bad("a chunk extension without a value");
      extension_ = c == '"' ? Extension::kQuoted : Extension::kToken;
      return std::nullopt;
    case Extension::kToken:
      if (is_token_byte(c)) return std::nullopt;
      [[fallthrough]];
    case Extension::kAfterValue:
      extension_ = Extension::kAfterValue;
      return blank ? std::nullopt : end_or_next();
    case Extension::kQuoted:
      if (c == '\r') return bad("an open quote in a chunk extension");
      if (c == '"') extension_ = Extension::kAfterValue;
      if (c == '\\') extension_ = Extension::kEscaped;
      return std::nullopt;
    case Extension::kEscaped:
      if (c == '\r') return bad("an open quote in a chunk extension");
      extension_ = Extension::kQuoted;
      return std::nullopt;
  }
  return std::nullopt;
}

// Trailers are dropped; only their shape is checked: field lines, then an empty line.
std::optional<Error> ChunkDecoder::trailer_byte(char c) {
  if (++trailers_ > kMaxTrailers) return bad("trailers that are too long");
  if (after_cr_) {
    if (c != '\n') return bad("a CR without LF in the trailers");
    after_cr_ = false;
    if (trailer_line_ == 0) {
      state_ = State::kDone;
    } else if (++trailer_fields_ > kMaxTrailerFields) {
      return bad("too many trailers");
    }
    trailer_line_ = 0;
  } else if (c == '\r') {
    after_cr_ = true;
  } else if (is_control(c) || (trailer_line_ == 0 && (c == ' ' || c == '\t' || c == ':'))) {
    return bad("a trailer that is not a header line");
  } else {
    ++trailer_line_;
  }
  return std::nullopt;
}

}  // namespace batchproxy::http
