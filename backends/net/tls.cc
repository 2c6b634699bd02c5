// backends/net/tls.cc - see tls.h.
#include "backends/net/tls.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/net/certificate.h"

namespace batchproxy {

// How OpenSSL gets at the socket's bytes.
struct TlsBytes {
  static TlsLayer& of(BIO* bio) { return *static_cast<TlsLayer*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, int size) {
    TlsLayer& layer = of(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::recv(layer.socket_, into, static_cast<std::size_t>(size), 0);
    layer.emptied_ = n < size;
    if (n < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
    return static_cast<int>(n);
  }
  static int write(BIO* bio, const char* bytes, int size) {
    of(bio).sealed_.append(bytes, static_cast<std::size_t>(size));
    return size;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "batchproxy");
      BIO_meth_set_read(method, &read);
      BIO_meth_set_write(method, &write);
      BIO_meth_set_ctrl(method, &control);
      return method;
    }();
    return made;
  }
};

namespace {

constexpr std::size_t kRecord = 16 * 1024;  // bytes that TLS seals as one
constexpr unsigned char kProtocol[] = "\x08http/1.1";

// A client that offers other protocols alone is answered in HTTP/1.1 all the same, or goes.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, size, kProtocol, sizeof(kProtocol) - 1, offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// What both sides have in common; null when there is no TLS.
TlsContextPtr make_context(const SSL_METHOD* method) {
  ERR_clear_error();
  auto made = std::make_shared<const TlsContext>(SSL_CTX_new(method));
  SSL_CTX* const context = made->get();
  if (context == nullptr) return nullptr;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  return made;
}

// The system's authorities. OpenSSL looks where it was built to look; a program that was built
// elsewhere finds nothing there.
void trust_the_system(SSL_CTX* context) {
  SSL_CTX_set_default_verify_paths(context);
  for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    if (::access(file, R_OK) == 0 && SSL_CTX_load_verify_file(context, file) == 1) break;
  }
  ERR_clear_error();
}

}  // namespace

boost::system::result<TlsContextPtr, std::string> TlsContext::of_client(
    const std::string& ca_file) {
  TlsContextPtr made = make_context(TLS_client_method());
  if (!made) return "TLS cannot be used: " + why_not_taken();
  SSL_CTX* const context = made->get();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, &judge_certificate);
  SSL_CTX_set_alpn_protos(context, kProtocol, sizeof(kProtocol) - 1);
  if (ca_file.empty()) {
    trust_the_system(context);
    return made;
  }
  if (std::string problem = problem_of_file(ca_file); !problem.empty()) return problem;
  if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    return "cannot read certificates from " + ca_file + ": " + why_not_taken();
  }
  return made;
}

boost::system::result<TlsContextPtr, std::string> TlsContext::of_server(
    const std::string& certificate, const std::string& key) {
  TlsContextPtr made = make_context(TLS_server_method());
  if (!made) return "TLS cannot be used: " + why_not_taken();
  SSL_CTX* const context = made->get();
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_id_context(context, kProtocol, sizeof(kProtocol) - 1);
  SSL_CTX_set_alpn_select_cb(context, &choose_protocol, nullptr);
  // Never asks a terminal for a password.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  for (const std::string& file : {certificate, key}) {
    if (std::string problem = problem_of_file(file); !problem.empty()) return problem;
  }
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
    return "cannot read a certificate from " + certificate + ": " + why_not_taken();
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    // It compares them, too.
    return "cannot use the key in " + key + " with the certificate in " + certificate + ": " +
           why_not_taken();
  }
  return made;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

TlsLayer::TlsLayer(const TlsContext& context, int socket, const std::string& server)
    : ssl_(SSL_new(context.get())), socket_(socket) {
  BIO* bio = ssl_ == nullptr ? nullptr : BIO_new(TlsBytes::method());
  if (bio == nullptr) {
    broken_ = true;
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  if (server.empty()) {
    SSL_set_accept_state(ssl_);
  } else {
    expect_server(ssl_, server);
    SSL_set_connect_state(ssl_);
  }
}

TlsLayer::~TlsLayer() {
  SSL_free(ssl_);
}

TlsLayer::State TlsLayer::state_of(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_NONE:
      return State::kMore;
    case SSL_ERROR_WANT_READ:
      return State::kWait;
    case SSL_ERROR_ZERO_RETURN:
      return State::kEnded;
    default:
      plain_http_ = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
      ERR_clear_error();
      broken_ = true;
      return State::kBroken;
  }
}

TlsLayer::State TlsLayer::shake_hands() {
  if (broken_) return State::kBroken;
  ERR_clear_error();
  const State state = state_of(SSL_do_handshake(ssl_));
  return flush() ? state : State::kBroken;
}

TlsLayer::Read TlsLayer::read(std::span<char> into) {
  if (broken_) return {State::kBroken};
  ERR_clear_error();
  std::size_t read = 0;
  const State state = state_of(SSL_read_ex(ssl_, into.data(), into.size(), &read));
  if (has_sealed() && !flush()) return {State::kBroken};  // TLS answers some of what it reads
  return {state, read};
}

TlsLayer::State TlsLayer::peek() {
  if (broken_) return State::kBroken;
  ERR_clear_error();
  char byte = 0;
  std::size_t read = 0;
  return state_of(SSL_peek_ex(ssl_, &byte, 1, &read));
}

bool TlsLayer::has_emptied_socket() const {
  return emptied_ && (broken_ || SSL_has_pending(ssl_) == 0);
}

std::optional<std::size_t> TlsLayer::write(std::span<const asio::const_buffer> buffers) {
  if (!flush()) return std::nullopt;
  // Until the socket is full: only then does it report that it takes more.
  std::size_t taken = 0;
  std::size_t more = 0;
  do {
    more = seal(buffers, taken);
    taken += more;
    if (!flush()) return std::nullopt;
  } while (more > 0 && !has_sealed());
  return taken;
}

// Of `buffers` from byte `begin` on, what there is room for. Small pieces, such as a head and its
// body, go as one record.
std::size_t TlsLayer::seal(std::span<const asio::const_buffer> buffers, std::size_t begin) {
  std::size_t taken = 0;
  std::string record;
  const auto end_record = [&] {
    std::size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(ssl_, record.data(), record.size(), &written) != 1) broken_ = true;
    ERR_clear_error();
    record.clear();
  };
  for (const asio::const_buffer& buffer : buffers) {
    std::string_view rest(static_cast<const char*>(buffer.data()), buffer.size());
    const std::size_t skipped = std::min(begin, rest.size());
    rest.remove_prefix(skipped);
    begin -= skipped;
    while (!rest.empty() && sealed() < kMostSealed && !broken_) {
      const std::size_t n = std::min(rest.size(), kRecord - record.size());
      record.append(rest.substr(0, n));
      rest.remove_prefix(n);
      taken += n;
      if (record.size() == kRecord) end_record();
    }
    if (!rest.empty()) break;
  }
  if (!record.empty()) end_record();
  return taken;
}

bool TlsLayer::flush() {
  while (has_sealed()) {
    const ssize_t n = ::send(socket_, sealed_.data() + sent_, sealed_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      sealed_.erase(0, std::exchange(sent_, 0));  // a slow peer may never have taken all
      return true;
    }
    if (n < 0) return false;
    sent_ += static_cast<std::size_t>(n);
  }
  sent_ = 0;
  if (sealed_.capacity() > kRecord / 4) sealed_ = std::string();  // nothing while it rests
  sealed_.clear();
  return !broken_;
}

void TlsLayer::say_goodbye() {
  if (broken_ || SSL_in_init(ssl_) != 0) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

}  // namespace batchproxy
