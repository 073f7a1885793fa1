/*
 * The socket options that Node offers no access to, and nothing else: SO_ORIGINAL_DST of IPv4 and IPv6, SO_LINGER, and
 * of TCP_INFO the round trip and whether the connection is over. Every function takes a file descriptor and gives a value or
 * a negated errno; none of them throws, keeps state, allocates outside of the JavaScript heap or touches a descriptor that
 * it was not handed.
 */
#define NAPI_VERSION 8
#include <node_api.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* Of <linux/netfilter_ipv4.h> and <linux/netfilter_ipv6/ip6_tables.h>, which clash with <netinet/in.h>. */
#define ORIGINAL_DESTINATION 80
/* TCP_CLOSE of <netinet/tcp.h>, which clashes with <linux/tcp.h>. */
#define TCP_CLOSED 7

static napi_value integer(napi_env env, int value) {
  napi_value result;
  return napi_create_int32(env, value, &result) == napi_ok ? result : NULL;
}

static napi_value negated_errno(napi_env env, int code) { return integer(env, -code); }

/* Reads the arguments; false unless there are `expected` of them and the first is an integer. */
static bool arguments(napi_env env, napi_callback_info info, size_t expected, napi_value *values, int32_t *fd) {
  size_t count = expected;
  if (napi_get_cb_info(env, info, &count, values, NULL, NULL) != napi_ok || count < expected) return false;
  return napi_get_value_int32(env, values[0], fd) == napi_ok;
}

static napi_value endpoint(napi_env env, int family, const void *address, in_port_t port) {
  char text[INET6_ADDRSTRLEN];
  napi_value result, ip, number;
  if (inet_ntop(family, address, text, sizeof text) == NULL) return negated_errno(env, errno);
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_string_latin1(env, text, NAPI_AUTO_LENGTH, &ip) != napi_ok ||
      napi_create_uint32(env, ntohs(port), &number) != napi_ok ||
      napi_set_named_property(env, result, "address", ip) != napi_ok ||
      napi_set_named_property(env, result, "port", number) != napi_ok)
    return NULL;
  return result;
}

/*
 * originalDestination(fd): {address, port} as before REDIRECT, or a negated errno. A dual-stack listener takes IPv4
 * callers too: the family is that of the packets, not that of the socket.
 */
static napi_value original_destination(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values, &fd)) return negated_errno(env, EINVAL);
  struct sockaddr_in6 own = {0};
  socklen_t own_size = sizeof own;
  if (getsockname(fd, (struct sockaddr *)&own, &own_size) != 0) return negated_errno(env, errno);
  if (own.sin6_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&own.sin6_addr)) {
    struct sockaddr_in6 to = {0};
    socklen_t size = sizeof to;
    if (getsockopt(fd, IPPROTO_IPV6, ORIGINAL_DESTINATION, &to, &size) != 0) return negated_errno(env, errno);
    return endpoint(env, AF_INET6, &to.sin6_addr, to.sin6_port);
  }
  struct sockaddr_in to = {0};
  socklen_t size = sizeof to;
  if (getsockopt(fd, IPPROTO_IP, ORIGINAL_DESTINATION, &to, &size) != 0) return negated_errno(env, errno);
  return endpoint(env, AF_INET, &to.sin_addr, to.sin_port);
}

/* setResetOnClose(fd, on): 0, or a negated errno. With {1, 0} the kernel sends RST whoever closes, kill -9 included. */
static napi_value set_reset_on_close(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  bool on;
  if (!arguments(env, info, 2, values, &fd) || napi_get_value_bool(env, values[1], &on) != napi_ok)
    return negated_errno(env, EINVAL);
  struct linger linger = {.l_onoff = on ? 1 : 0, .l_linger = 0};
  return negated_errno(env, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0 ? 0 : errno);
}

/* resetsOnClose(fd): 1 or 0, or a negated errno. */
static napi_value resets_on_close(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  struct linger linger = {0};
  socklen_t size = sizeof linger;
  if (!arguments(env, info, 1, values, &fd)) return negated_errno(env, EINVAL);
  if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) != 0) return negated_errno(env, errno);
  return integer(env, linger.l_onoff == 1 && linger.l_linger == 0 ? 1 : 0);
}

/* What the kernel knows of the one argument's connection, and how much of it; false with the value to return. */
static bool read_tcp_info(napi_env env, napi_callback_info info, struct tcp_info *tcp, socklen_t *size, napi_value *failure) {
  napi_value values[1];
  int32_t fd;
  int error = EINVAL;
  if (arguments(env, info, 1, values, &fd)) error = getsockopt(fd, IPPROTO_TCP, TCP_INFO, tcp, size) == 0 ? 0 : errno;
  if (error != 0) *failure = negated_errno(env, error);
  return error == 0;
}

/*
 * roundTrip(fd): the shortest that the kernel has seen in the last five minutes, in microseconds, or a negated errno.
 * ENODATA: none yet; EPROTO: the kernel is older than the field (4.9).
 */
static napi_value round_trip(napi_env env, napi_callback_info info) {
  napi_value failure;
  struct tcp_info tcp = {0};
  socklen_t size = sizeof tcp;
  if (!read_tcp_info(env, info, &tcp, &size, &failure)) return failure;
  if (size < offsetof(struct tcp_info, tcpi_min_rtt) + sizeof tcp.tcpi_min_rtt) return negated_errno(env, EPROTO);
  /* All bits set: no sample. */
  return tcp.tcpi_min_rtt > INT32_MAX ? negated_errno(env, ENODATA) : integer(env, (int)tcp.tcpi_min_rtt);
}

/* isClosed(fd): 1 where the kernel has ended the connection, as by the other end's RST, 0 where not, or a negated errno. */
static napi_value is_closed(napi_env env, napi_callback_info info) {
  napi_value failure;
  struct tcp_info tcp = {0};
  socklen_t size = sizeof tcp;
  if (!read_tcp_info(env, info, &tcp, &size, &failure)) return failure;
  return integer(env, tcp.tcpi_state == TCP_CLOSED ? 1 : 0);
}

static bool export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!export_function(env, exports, "originalDestination", original_destination) ||
      !export_function(env, exports, "setResetOnClose", set_reset_on_close) ||
      !export_function(env, exports, "resetsOnClose", resets_on_close) ||
      !export_function(env, exports, "roundTrip", round_trip) ||
      !export_function(env, exports, "isClosed", is_closed))
    return NULL;
  return exports;
}
