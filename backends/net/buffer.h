// backends/net/buffer.h - Buffer: bytes being read; BufferPool: a thread's spare ones.
//
// A connection holds a Buffer only between its first and its last byte, so an idle one costs no
// buffer memory. Buffers carry enough slack behind their content for simdjson to read past the end.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace batchproxy {

class Buffer {
 public:
  // Bytes that may be read, never interpreted, past the end of the content.
  static constexpr std::size_t kPadding = 64;

  Buffer() = default;
  explicit Buffer(std::size_t capacity) { reserve(capacity); }
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  std::string_view view() const { return {data_.get(), size_}; }
  char* data() { return data_.get(); }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }

  // Room for more content behind what is there; commit() makes it content.
  std::span<char> spare() { return {data_.get() + size_, capacity_ - size_}; }
  void commit(std::size_t n) { size_ += n; }

  // Makes capacity() at least `capacity`. Views into the buffer become invalid if it moves.
  void reserve(std::size_t capacity);
  void append(std::string_view bytes);
  void truncate(std::size_t size) { size_ = size; }
  void clear() { size_ = 0; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

class BufferPool {
 public:
  // A cleared buffer of at least `capacity`. The common size, enough for the longest head that we
  // accept, is recycled; larger ones are not, so that a burst of big bodies leaves no memory
  // behind.
  static constexpr std::size_t kCommon = 17 * 1024 - Buffer::kPadding;

  Buffer take(std::size_t capacity = kCommon);
  void give_back(Buffer&& buffer);

 private:
  static constexpr std::size_t kMaxSpare = 256;
  std::vector<Buffer> spare_;
};

}  // namespace batchproxy
