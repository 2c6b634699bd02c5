// backends/net/buffer.cc - see buffer.h.
#include "backends/net/buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace batchproxy {

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::move(other.data_)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  data_ = std::move(other.data_);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

void Buffer::reserve(std::size_t capacity) {
  if (capacity <= capacity_) return;
  auto bigger = std::make_unique_for_overwrite<char[]>(capacity + kPadding);
  if (size_ > 0) std::memcpy(bigger.get(), data_.get(), size_);
  data_ = std::move(bigger);
  capacity_ = capacity;
}

void Buffer::append(std::string_view bytes) {
  if (size_ + bytes.size() > capacity_) {
    reserve(std::max(size_ + bytes.size(), capacity_ + capacity_ / 2));
  }
  if (!bytes.empty()) std::memcpy(data_.get() + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

Buffer BufferPool::take(std::size_t capacity) {
  if (capacity <= kCommon && !spare_.empty()) {
    Buffer buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }
  return Buffer(std::max(capacity, kCommon));
}

void BufferPool::give_back(Buffer&& buffer) {
  if (buffer.capacity() != kCommon || spare_.size() >= kMaxSpare) {
    buffer = Buffer();  // freed here, not when the caller's goes out of scope
    return;
  }
  buffer.clear();
  spare_.push_back(std::move(buffer));
}

}  // namespace batchproxy
