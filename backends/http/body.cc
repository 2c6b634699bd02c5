// backends/http/body.cc - see body.h.
#include "backends/http/body.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace batchproxy::http {

namespace {

// Unused bytes of a buffer that are worth a copy, which is of no more than the common size.
constexpr std::size_t kWorthACopy = 1024;

}  // namespace

bool take_whole(const Framing& framing, NoFraming otherwise, const Buffer& in, std::size_t& pos,
                WholeBody& body) {
  const bool counted = framing.content_length || otherwise == NoFraming::kEmpty;
  if (framing.chunked || !counted) return false;
  const std::uint64_t length = framing.content_length.value_or(0);
  if (length > in.size() - pos) return false;
  body.view = in.view().substr(pos, static_cast<std::size_t>(length));
  pos += body.view.size();
  return true;
}

void fit(BufferPool& buffers, Buffer& in, std::size_t start, std::size_t& pos, WholeBody& body) {
  const bool apart = body.own.capacity() > 0;
  // What is needed behind the head: the body, unless it lies apart, and the next message's bytes.
  const std::size_t from = apart ? pos : start;
  const std::size_t size = start + in.size() - from;
  if (in.capacity() - size >= kWorthACopy) {
    Buffer fitting(size);
    fitting.append(in.view().substr(0, start));
    fitting.append(in.view().substr(from));
    if (!apart) body.view = fitting.view().substr(start, body.view.size());
    pos -= from - start;
    std::swap(in, fitting);
    buffers.give_back(std::move(fitting));
  }
  if (body.own.capacity() - body.own.size() >= kWorthACopy &&
      body.own.size() <= BufferPool::kCommon) {
    Buffer fitting(body.own.size());
    fitting.append(body.own.view());
    body.view = fitting.view();
    std::swap(body.own, fitting);
    buffers.give_back(std::move(fitting));
  }
}

BodyReader::BodyReader(Connection& connection, BufferPool& buffers, Buffer& in, std::size_t& pos,
                       const Framing& framing, NoFraming otherwise, std::uint64_t limit,
                       BodyWatch* watch)
    : connection_(connection),
      buffers_(buffers),
      in_(in),
      pos_(pos),
      start_(pos),
      framing_(framing),
      otherwise_(otherwise),
      limit_(limit),
      watch_(watch),
      received_(in.size() - pos) {}

Task<BodyStatus> BodyReader::read_whole() {
  if (!framing_.chunked && framing_.content_length) {
    if (*framing_.content_length > limit_) co_return status_ = BodyStatus::kTooLarge;
    co_return status_ = co_await read_counted(*framing_.content_length);
  }
  co_return status_ = co_await read_until_end();
}

Task<std::optional<std::size_t>> BodyReader::read_more(Buffer& into, std::size_t most) {
  if (watch_ != nullptr) {
    if (const bool go_on = co_await watch_->before_wait(received_); !go_on) co_return std::nullopt;
  }
  if (connection_.must_wait()) co_await connection_.wait();
  if (!connection_.may_read()) co_return std::nullopt;
  const auto n = connection_.read_some(into.spare().first(most));
  if (n) {
    into.commit(*n);
    received_ += *n;
  }
  co_return n;
}

Task<BodyStatus> BodyReader::read_counted(std::uint64_t length) {
  const auto size = static_cast<std::size_t>(length);
  if (in_.capacity() - pos_ >= size) {
    while (in_.size() - pos_ < size) {
      const auto n = co_await read_more(in_, in_.spare().size());
      if (!n) co_return BodyStatus::kCut;
    }
    body_.view = in_.view().substr(pos_, size);
    pos_ += size;
    co_return BodyStatus::kWhole;
  }
  body_.own = buffers_.take(size);
  body_.own.append(in_.view().substr(pos_));
  pos_ = in_.size();
  while (body_.own.size() < size) {
    // Never past the message: what follows is the next one's.
    const auto n = co_await read_more(body_.own, size - body_.own.size());
    if (!n) co_return BodyStatus::kCut;
  }
  body_.view = body_.own.view();
  co_return BodyStatus::kWhole;
}

// Chunked, or until the connection's end: gathered from pieces, since the length is not known.
Task<BodyStatus> BodyReader::read_until_end() {
  Buffer whole = buffers_.take();
  while (true) {
    const auto piece = co_await next_piece();
    if (!piece) break;
    if (piece->empty()) break;
    if (whole.size() + piece->size() > limit_) {
      status_ = BodyStatus::kTooLarge;
      break;
    }
    whole.append(*piece);
  }
  buffers_.give_back(std::move(body_.own));
  body_.own = std::move(whole);
  body_.view = body_.own.view();
  co_return status_;
}

Task<std::optional<std::string_view>> BodyReader::next_piece() {
  while (true) {
    const auto piece = take_piece();
    if (!piece || !piece->empty() || at_end()) co_return piece;
    rewind();
    const auto n = co_await read_more(in_, in_.spare().size());
    if (!n && !end_or_cut()) co_return std::nullopt;
  }
}

bool BodyReader::refill() {
  rewind();
  if (!connection_.may_read()) return end_or_cut();
  const auto n = connection_.read_some(in_.spare());
  if (!n) return end_or_cut();
  in_.commit(*n);
  return true;
}

// All that was there has been handed out: it is read over.
void BodyReader::rewind() {
  in_.truncate(start_);
  pos_ = start_;
}

// The connection has ended: whether the body has, too.
bool BodyReader::end_or_cut() {
  closed_ = !framing_.chunked && !framing_.content_length &&
            connection_.closed() == Connection::Closed::kByPeer;
  if (!closed_) status_ = BodyStatus::kCut;
  return closed_;
}

std::uint64_t BodyReader::length_or_unbounded() const {
  return framing_.content_length.value_or(
      otherwise_ == NoFraming::kEmpty ? 0 : std::numeric_limits<std::uint64_t>::max());
}

bool BodyReader::at_end() const {
  return framing_.chunked ? chunks_.done() : closed_ || taken_ == length_or_unbounded();
}

// The next run of body bytes that is in `in_` already; empty when more must be read first.
std::optional<std::string_view> BodyReader::take_piece() {
  while (pos_ < in_.size()) {
    const std::string_view available = in_.view().substr(pos_);
    if (!framing_.chunked) {
      const std::uint64_t left = length_or_unbounded() - taken_;
      const std::string_view piece = available.substr(
          0, static_cast<std::size_t>(std::min<std::uint64_t>(left, available.size())));
      pos_ += piece.size();
      taken_ += piece.size();
      return piece;
    }
    if (chunks_.done()) return std::string_view();
    const auto step = chunks_.next(available);
    if (!step) {
      status_ = BodyStatus::kMalformed;
      return std::nullopt;
    }
    pos_ += step->consumed;
    // Announced: no need to read that far. Part of it may have come already.
    if (step->data.size() + chunks_.pending() > limit_) {
      status_ = BodyStatus::kTooLarge;
      return std::nullopt;
    }
    if (!step->data.empty()) return step->data;
  }
  return std::string_view();
}

}  // namespace batchproxy::http
