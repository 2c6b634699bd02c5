// launcher/process/shim_control.cc - see shim_control.h.
#include "launcher/process/shim_control.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy {

namespace {

// What cannot be written at once is lost: a peer that does not read must not stop the shim.
void write_to(int file, std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(file, text.data(), text.size());
}

bool is_readable(int file) {
  pollfd waiting{file, POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 1;
}

}  // namespace

void ShimControl::add_to(std::vector<pollfd>& files) const {
  if (is_kept()) files.push_back({listener_, POLLIN, 0});
  for (const Peer& peer : peers_) files.push_back({peer.in, POLLIN, 0});
}

void ShimControl::serve(const Obey& obey) {
  if (is_kept()) accept_all();
  std::erase_if(peers_, [&](Peer& peer) {
    if (read_orders(peer, obey)) return false;
    ::close(peer.in);
    if (!is_kept()) obey("stop");
    return true;
  });
}

void ShimControl::accept_all() {
  while (is_readable(listener_)) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) return;
    write_to(socket, said_);
    peers_.push_back({socket, socket, {}});
  }
}

// False: it has gone.
bool ShimControl::read_orders(Peer& peer, const Obey& obey) const {
  while (is_readable(peer.in)) {
    std::array<char, 64> bytes;
    const ssize_t count = ::read(peer.in, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    peer.unread.append(bytes.data(), static_cast<std::size_t>(count));
    for (auto end = peer.unread.find('\n'); end != std::string::npos;
         end = peer.unread.find('\n')) {
      const std::string order = peer.unread.substr(0, end);
      peer.unread.erase(0, end + 1);
      obey(order);
    }
  }
  return true;
}

void ShimControl::tell(const std::string& line) {
  said_ += line;
  for (const Peer& peer : peers_) write_to(peer.out, line);
}

}  // namespace batchproxy
