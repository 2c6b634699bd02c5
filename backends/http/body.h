// backends/http/body.h - reads the body of a message from a Connection: whole, or piece by piece.
//
// Threading: confined to the connection's I/O thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "backends/http/chunked.h"
#include "backends/http/head.h"
#include "backends/net/buffer.h"
#include "backends/net/connection.h"
#include "backends/net/task.h"

namespace batchproxy::http {

enum class BodyStatus {
  kWhole,      // it is all there
  kCut,        // the connection ended first, or the watch ended the wait
  kTooLarge,   // more than the limit
  kMalformed,  // chunked coding with an error in it
};

// Where a message's body ends: nowhere to be seen (the connection's end), or as the head says.
enum class NoFraming { kEmpty, kUntilClose };

// Has a say in how long a body is waited for.
class BodyWatch {
 public:
  virtual ~BodyWatch() = default;
  // Awaited before every wait for more, when `received` bytes have come from the wire; false ends
  // the reading with kCut. It may set the connection's deadline, and take its time.
  virtual Task<bool> before_wait(std::uint64_t received) = 0;
};

// A body that is all there: in the buffer that its head came in, or in one of its own.
struct WholeBody {
  std::string_view view;
  Buffer own;
};

// Takes the body from `in`, where it begins at `pos`, if its length is told and it is all there;
// `pos` is then behind it. No waiting, no copy.
bool take_whole(const Framing& framing, NoFraming otherwise, const Buffer& in, std::size_t& pos,
                WholeBody& body);

// For a message that will be held for a while: moves what is needed of it into buffers made to
// measure, where that gains much and copies little. The body lies in `in` from `start` on, if not
// in a buffer of its own; `pos` is behind the message.
void fit(BufferPool& buffers, Buffer& in, std::size_t start, std::size_t& pos, WholeBody& body);

// Reads bodies without copying where it can: `in` holds the head and whatever came with it, and has
// room for at least one byte more (it is not moved: others hold views into the head); `pos`
// is the body's first byte there and, afterwards, the first byte behind the message. A body that
// fits into `in` stays there; a longer one gets a buffer of its own, made to measure.
class BodyReader {
 public:
  BodyReader(Connection& connection, BufferPool& buffers, Buffer& in, std::size_t& pos,
             const Framing& framing, NoFraming otherwise, std::uint64_t limit,
             BodyWatch* watch = nullptr);
  ~BodyReader() { buffers_.give_back(std::move(body_.own)); }
  BodyReader(const BodyReader&) = delete;
  BodyReader& operator=(const BodyReader&) = delete;

  // The whole body into body(), if it is there already.
  bool take_whole() { return http::take_whole(framing_, otherwise_, in_, pos_, body_); }
  // Everything, into body().
  Task<BodyStatus> read_whole();
  // The whole body after these; its view is valid while it and `in` live.
  WholeBody& body() { return body_; }
  const WholeBody& body() const { return body_; }

  // The next piece, in whatever cut; an empty one is the end. Nothing when the body is broken: see
  // status(). Valid until the next call.
  Task<std::optional<std::string_view>> next_piece();
  BodyStatus status() const { return status_; }
  const Framing& framing() const { return framing_; }

  // The same in steps that do not wait. The next piece that has arrived: an empty one means that
  // more must be read first, or, at_end(), that there is no more.
  std::optional<std::string_view> take_piece();
  bool at_end() const;
  // After an empty piece: reads what has arrived on the connection, over what was handed out. False
  // when the body is broken.
  bool refill();

 private:
  // Reads what has arrived, at most `most` bytes, when something has; nothing: it is cut.
  Task<std::optional<std::size_t>> read_more(Buffer& into, std::size_t most);
  Task<BodyStatus> read_counted(std::uint64_t length);
  Task<BodyStatus> read_until_end();
  std::uint64_t length_or_unbounded() const;
  void rewind();
  bool end_or_cut();

  Connection& connection_;
  BufferPool& buffers_;
  Buffer& in_;
  std::size_t& pos_;
  const std::size_t start_;  // the head lies before it, and others hold views into that
  const Framing framing_;
  const NoFraming otherwise_;
  const std::uint64_t limit_;
  BodyWatch* const watch_;
  std::uint64_t received_;  // bytes from the wire, for the watch
  ChunkDecoder chunks_;
  std::uint64_t taken_ = 0;  // body bytes handed out so far
  bool closed_ = false;      // the connection's end was the body's
  WholeBody body_;
  BodyStatus status_ = BodyStatus::kWhole;
};

}  // namespace batchproxy::http
