// tests/proxy/topology_test.cc - the backends that a configuration names.
#include "proxy/control/topology.h"

#include <gtest/gtest.h>

#include "configs/loader.h"
#include "tests/backends/made_certificate.h"

namespace batchproxy {
namespace {

TEST(RunningServers, ShareWhatTheyTrustWhereItIsTheSame) {
  const MadeCertificate one, other;
  const LoadResult loaded =
      load({"my.yaml",
            "batchproxy:\n  tls: {ca_file: " + one.certificate + "}\n  backends:\n" +
                "  - {url: https://a:1}\n  - {url: https://b:1}\n" +
                "  - {url: https://c:1, ca_file: " + other.certificate + "}\n" +
                "  - {url: https://d:1, ca_file: " + one.certificate + "}\n  - {url: http://e:1}\n",
            {},
            {}});
  ASSERT_TRUE(loaded.ok()) << loaded.diagnostics.front().format();
  const std::vector<BackendRecord> backends = running_servers(loaded.options);
  ASSERT_EQ(backends.size(), 5u);
  const auto tls = [&](std::size_t i) { return backends[i].endpoint->tls; };
  EXPECT_NE(tls(0), nullptr);
  EXPECT_EQ(tls(0), tls(1));
  EXPECT_NE(tls(0), tls(2));
  EXPECT_EQ(tls(0), tls(3));
  EXPECT_EQ(tls(4), nullptr);
  EXPECT_EQ(backends[1].endpoint->server_name, "b");
}

}  // namespace
}  // namespace batchproxy
