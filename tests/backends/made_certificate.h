// tests/backends/made_certificate.h - self-signed certificates for tests, as files.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

namespace batchproxy {

// For `localhost`, with its key; both files go with it.
class MadeCertificate {
 public:
  // Valid from so many seconds after now until so many.
  explicit MadeCertificate(long begins = -60, long ends = 3600,
                           const char* names = "DNS:localhost") {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const x509 = X509_new();
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), begins);
    X509_gmtime_adj(X509_getm_notAfter(x509), ends);
    X509_set_pubkey(x509, key);
    X509_NAME* const name = X509_get_subject_name(x509);
    const auto* const words = reinterpret_cast<const unsigned char*>("localhost");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, words, -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* const san =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names);
    X509_add_ext(x509, san, -1);
    X509_EXTENSION_free(san);
    X509_sign(x509, key, EVP_sha256());
    write(certificate, [&](std::FILE* file) { PEM_write_X509(file, x509); });
    write(private_key, [&](std::FILE* file) {
      PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
    X509_free(x509);
    EVP_PKEY_free(key);
  }
  ~MadeCertificate() {
    std::filesystem::remove(certificate);
    std::filesystem::remove(private_key);
  }
  MadeCertificate(const MadeCertificate&) = delete;
  MadeCertificate& operator=(const MadeCertificate&) = delete;

 private:
  static std::string new_place() {
    static int made = 0;
    return testing::TempDir() + std::to_string(::getpid()) + "-" + std::to_string(++made);
  }
  template <class Write>
  static void write(const std::string& path, const Write& how) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    how(file);
    std::fclose(file);
  }
  const std::string place_ = new_place();

 public:
  const std::string certificate = place_ + "-cert.pem";
  const std::string private_key = place_ + "-key.pem";
};

}  // namespace batchproxy
