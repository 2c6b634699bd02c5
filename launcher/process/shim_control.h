// launcher/process/shim_control.h - ShimControl: how a shim is told what to do, and tells what has
// become of its engine.
//
// Either one launcher holds both ends of two pipes, and its end is an order to stop. Or, for an
// engine that is kept, whoever connects to a socket may give orders, hears all that has been told
// so far, and may leave again.
//
// Threading: confined to the shim's one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>

namespace batchproxy {

class ShimControl {
 public:
  // Of one launcher.
  ShimControl(int control, int status) : peers_{{control, status, {}}} {}
  // Of those who connect to `listener`. `greeting`: the first line that each hears.
  ShimControl(int listener, std::string greeting)
      : listener_(listener), said_(std::move(greeting)) {}

  // What to wait for.
  void add_to(std::vector<pollfd>& files) const;
  // Hands over every order that has come; the end of the one launcher is one: "stop".
  using Obey = std::function<void(std::string_view order)>;
  void serve(const Obey& obey);

  // `line` with its newline. To a launcher that has died nothing can be told.
  void tell(const std::string& line);

 private:
  struct Peer {
    int in = -1;
    int out = -1;
    std::string unread;
  };

  bool is_kept() const { return listener_ >= 0; }
  void accept_all();
  bool read_orders(Peer& peer, const Obey& obey) const;

  int listener_ = -1;
  std::vector<Peer> peers_;
  std::string said_;  // for those who come later
};

}  // namespace batchproxy
