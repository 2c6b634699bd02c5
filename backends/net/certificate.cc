// backends/net/certificate.cc - see certificate.h.
#include "backends/net/certificate.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

constexpr int kMostNames = 4;  // of a certificate, in a sentence
constexpr const char* kTrustIt = "as `ca_file` of this backend, or in batchproxy.tls.ca_file";

template <auto free>
struct Free {
  template <class T>
  void operator()(T* what) const {
    free(what);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<&BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Free<&X509_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Free<&GENERAL_NAMES_free>>;

WallTime wall_time(const ASN1_TIME* when) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(when, &utc) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&utc));
}

// "CN=localhost,O=We"
std::string text_of(const X509_NAME* name) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return printable({text, static_cast<std::size_t>(size)});
}

CertificateFacts facts_of(const X509* certificate) {
  return {text_of(X509_get_subject_name(certificate)),
          wall_time(X509_get0_notBefore(certificate)), wall_time(X509_get0_notAfter(certificate))};
}

std::string text_of(const GENERAL_NAME* name) {
  if (name->type == GEN_DNS) {
    const ASN1_IA5STRING* dns = name->d.dNSName;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(dns));
    return printable({text, static_cast<std::size_t>(ASN1_STRING_length(dns))});
  }
  if (name->type == GEN_IPADD) {
    const ASN1_OCTET_STRING* address = name->d.iPAddress;
    std::array<char, 64> text{};
    const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
    const unsigned char* bytes = ASN1_STRING_get0_data(address);
    const bool whole = family == AF_INET || ASN1_STRING_length(address) == 16;
    if (whole && ::inet_ntop(family, bytes, text.data(), text.size()) != nullptr) {
      return text.data();
    }
  }
  return {};
}

// Whom it is for: "a.example, b.example"; its subject if it names nobody.
std::string names_of(const X509* certificate) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string text;
  int told = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const std::string one = text_of(sk_GENERAL_NAME_value(names.get(), i));
    if (one.empty()) continue;
    if (told++ == kMostNames) return text + ", …";
    text += (text.empty() ? "" : ", ") + one;
  }
  return text.empty() ? text_of(X509_get_subject_name(certificate)) : text;
}

// Whom the peer should be, by SNI or by address.
std::string expected_name(const SSL* ssl) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name != nullptr) return name;
  char* address = X509_VERIFY_PARAM_get1_ip_asc(SSL_get0_param(const_cast<SSL*>(ssl)));
  if (address == nullptr) return {};
  std::string text = address;
  OPENSSL_free(address);
  return text;
}

// What is wrong with `shown`, which is the server's own at depth 0 and an authority's above.
std::string describe(const SSL* ssl, int error, int depth, const X509* shown) {
  const std::string whose =
      depth == 0 ? "its certificate"
                 : "the certificate of " + text_of(X509_get_subject_name(shown)) +
                       ", on which its own depends,";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return whose + " expired on " + day_of(wall_time(X509_get0_notAfter(shown))) +
             ": it must be renewed there";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return whose + " is not valid before " + day_of(wall_time(X509_get0_notBefore(shown))) +
             ": wait, or look whether the clock of this machine is right";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "its certificate is self-signed, and not trusted here: give that certificate " +
             std::string(kTrustIt);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "its certificate is signed by " + text_of(X509_get_issuer_name(shown)) +
             ", which is not trusted here: give the certificate of that authority " + kTrustIt;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "its certificate is for " + names_of(shown) + " and not for " + expected_name(ssl) +
             ": name it so in its URL, or give it a certificate for that name";
    default:
      return whose + " is not valid here: " + X509_verify_cert_error_string(error);
  }
}

// Where an SSL keeps its problem.
int problem_slot() {
  static const int slot = SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void*, void* text, CRYPTO_EX_DATA*, int, long, void*) {
        delete static_cast<std::string*>(text);
      });
  return slot;
}

}  // namespace

std::string day_of(WallTime when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d", &utc);
  return text.data();
}

std::string problem_of_file(const std::string& file) {
  struct stat there{};
  if (::access(file.c_str(), R_OK) != 0) {
    return "cannot read " + file + ": " + std::strerror(errno);
  }
  if (::stat(file.c_str(), &there) == 0 && S_ISDIR(there.st_mode)) {
    return "cannot read " + file + ": it is a directory";
  }
  return {};
}

std::string why_not_taken() {
  const unsigned long number = ERR_peek_error();
  const int library = ERR_GET_LIB(number), reason = ERR_GET_REASON(number);
  ERR_clear_error();
  if (number == 0) return "unknown";
  // Of a key it is said otherwise.
  const bool has_none = (library == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
                        (library == ERR_LIB_OSSL_DECODER && reason == ERR_R_UNSUPPORTED);
  if (has_none) {
    return "there is none in PEM form in it (-----BEGIN …-----)";
  }
  const bool is_of_another = library == ERR_LIB_X509 && (reason == X509_R_KEY_VALUES_MISMATCH ||
                                                         reason == X509_R_KEY_TYPE_MISMATCH);
  if (is_of_another) return "they do not belong together";
  const bool has_password = library == ERR_LIB_PEM && (reason == PEM_R_BAD_PASSWORD_READ ||
                                                       reason == PEM_R_BAD_DECRYPT);
  if (has_password) return "it has a password; take that off with `openssl pkey -in … -out …`";
  const char* words = ERR_reason_error_string(number);
  return words == nullptr ? "unknown" : words;
}

boost::system::result<std::vector<CertificateFacts>, std::string> read_certificates(
    const std::string& file) {
  if (std::string problem = problem_of_file(file); !problem.empty()) return problem;
  ERR_clear_error();
  const BioPtr bio(BIO_new_file(file.c_str(), "r"));
  std::vector<CertificateFacts> found;
  while (bio) {
    const X509Ptr one(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!one) break;
    found.push_back(facts_of(one.get()));
  }
  const std::string why = why_not_taken();
  if (found.empty()) return "cannot read a certificate from " + file + ": " + why;
  return found;
}

CertificateFacts own_certificate(const TlsContext& context) {
  const X509* own = SSL_CTX_get0_certificate(context.get());
  return own == nullptr ? CertificateFacts{} : facts_of(own);
}

void expect_server(SSL* ssl, const std::string& name) {
  X509_VERIFY_PARAM* const expected = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(expected, name.c_str()) == 1) return;
  ERR_clear_error();
  SSL_set_tlsext_host_name(ssl, name.c_str());
  SSL_set1_host(ssl, name.c_str());
}

int judge_certificate(int good, X509_STORE_CTX* chain) {
  if (good == 1) return good;
  auto* const ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const X509* const shown = X509_STORE_CTX_get_current_cert(chain);
  if (ssl == nullptr || shown == nullptr) return good;
  if (SSL_get_ex_data(ssl, problem_slot()) != nullptr) return good;  // the first is the cause
  auto text = std::make_unique<std::string>(describe(
      ssl, X509_STORE_CTX_get_error(chain), X509_STORE_CTX_get_error_depth(chain), shown));
  std::string* const its = text.release();
  if (SSL_set_ex_data(ssl, problem_slot(), its) != 1) text.reset(its);
  return good;
}

std::string certificate_problem(const SSL* ssl) {
  const auto* kept = static_cast<const std::string*>(SSL_get_ex_data(ssl, problem_slot()));
  if (kept != nullptr) return *kept;
  const long number = SSL_get_verify_result(ssl);
  if (number == X509_V_OK) return {};
  return std::string("its certificate is not valid here: ") + X509_verify_cert_error_string(number);
}

}  // namespace batchproxy
