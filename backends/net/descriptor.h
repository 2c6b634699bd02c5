// backends/net/descriptor.h - Descriptor: owns a file descriptor, and closes it at its end.
//
// Threading: confined to one thread.
#pragma once

#include <utility>

#include <unistd.h>

namespace batchproxy {

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }
  void close() {
    if (const int number = release(); number >= 0) ::close(number);
  }

 private:
  int number_;
};

}  // namespace batchproxy
