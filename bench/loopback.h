// bench/loopback.h - sockets of the little servers that `bench.lab peers` measures with.
//
// Threading: free functions; any thread.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy::loopback {

// A call's result; one that failed ends the program, since a measurement has nothing to fall back
// to.
inline int must(int result, const char* what) {
  if (result >= 0) return result;
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

inline sockaddr_in address_of(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Listens on a free port and prints it, for who started us to read.
inline int listen_somewhere() {
  const int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in address = address_of(0);
  socklen_t size = sizeof address;
  must(bind(fd, reinterpret_cast<const sockaddr*>(&address), size), "bind");
  must(listen(fd, 4096), "listen");
  must(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

inline void without_delay(int fd) {
  const int on = 1;
  must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
}

// The next client of a listening socket, or -1.
inline int accept_next(int listener) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED)) return -1;
  without_delay(must(fd, "accept"));
  return fd;
}

// Connecting to loopback takes no time, so it may block; what comes after may not.
inline int connect_to(std::uint16_t port) {
  const int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const sockaddr_in address = address_of(port);
  must(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
  must(fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
  without_delay(fd);
  return fd;
}

inline bool would_block() {
  return errno == EAGAIN || errno == EINTR;
}

// `operation` is one of EPOLL_CTL_*; `who` is what epoll_wait gives back.
inline void watch(int epoll, int operation, int fd, std::uint32_t events, void* who) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = who;
  must(epoll_ctl(epoll, operation, fd, &event), "epoll_ctl");
}

}  // namespace batchproxy::loopback
