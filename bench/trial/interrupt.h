// bench/trial/interrupt.h - Interrupt: whether somebody has pressed Ctrl-C, through a work of many
// steps that each wait in their own way.
//
// Threading: confined to one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace batchproxy::bench {

class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Stays true.
  bool has_come();

 private:
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  bool come_ = false;
};

}  // namespace batchproxy::bench
