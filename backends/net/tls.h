// backends/net/tls.h - TLS for a Connection: certificates, and one connection's encryption.
//
// OpenSSL does the work over bytes that we read and send ourselves, so that a socket is read, sent
// to and watched in one way, whether it is encrypted or not. What is sealed and not yet taken by
// the socket waits here, no more than kMostSealed of it.
//
// Threading: TlsContext is immutable, any thread. TlsLayer is confined to its connection's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/buffer.hpp>
#include <boost/system/result.hpp>

#include "backends/net/task.h"

using SSL_CTX = struct ssl_ctx_st;
using SSL = struct ssl_st;

namespace batchproxy {

// A certificate and its key, for those who connect to us; or whose certificates are believed.
class TlsContext {
 public:
  // The certificate's chain and its key, from PEM files; or a sentence that says what is wrong with
  // them. TLS 1.2 and later, and HTTP/1.1 alone.
  static boost::system::result<std::shared_ptr<const TlsContext>, std::string> of_server(
      const std::string& certificate, const std::string& key);

  // For connecting to others, whose certificate must be signed by one in `ca_file`, a PEM file; of
  // the system's when that is empty.
  static boost::system::result<std::shared_ptr<const TlsContext>, std::string> of_client(
      const std::string& ca_file);

  explicit TlsContext(SSL_CTX* context) : context_(context) {}
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* get() const { return context_; }

 private:
  SSL_CTX* const context_;
};
using TlsContextPtr = std::shared_ptr<const TlsContext>;

class TlsLayer {
 public:
  static constexpr std::size_t kMostSealed =
      64 * 1024;  // bytes of ours that the peer has not taken

  enum class State {
    kMore,    // bytes, or for the handshake: it has ended well
    kWait,    // nothing until the peer sends more
    kEnded,   // the peer has said that it sends no more
    kBroken,  // not to be used any more
  };
  struct Read {
    State state;
    std::size_t bytes = 0;
  };

  // Both wait for nothing. `socket` does not block, and stays its connection's.
  // `server`: whom we have connected to; empty: it is the peer that has.
  TlsLayer(const TlsContext& context, int socket, const std::string& server = {});
  ~TlsLayer();
  TlsLayer(const TlsLayer&) = delete;
  TlsLayer& operator=(const TlsLayer&) = delete;

  State shake_hands();
  // Of a handshake that is broken: the peer spoke HTTP without TLS.
  bool is_plain_http() const { return plain_http_; }

  Read read(std::span<char> into);
  // What read() would find, without taking it.
  State peek();
  // The socket has reported bytes: what an earlier read has seen of it counts no more.
  void on_readable() { emptied_ = false; }
  // Whether the last read has left nothing in the socket, so that it will report what comes.
  bool has_emptied_socket() const;

  // Seals what there is room for, and sends. Returns how many bytes were taken; nothing when the
  // connection is broken.
  std::optional<std::size_t> write(std::span<const asio::const_buffer> buffers);
  // Sends what is sealed. False when the connection is broken.
  bool flush();
  bool has_sealed() const { return sealed() > 0; }
  std::size_t sealed() const { return sealed_.size() - sent_; }  // bytes, not sent yet
  // Seals our last word; flush() sends it.
  void say_goodbye();

 private:
  friend struct TlsBytes;
  State state_of(int result);
  std::size_t seal(std::span<const asio::const_buffer> buffers, std::size_t begin);

  SSL* const ssl_;
  const int socket_;
  std::string sealed_;    // to be sent
  std::size_t sent_ = 0;  // of that
  bool emptied_ = false;  // the socket, by the last read
  bool broken_ = false;
  bool plain_http_ = false;
};

}  // namespace batchproxy
