/*
 * Two network namespaces that are some time apart: `distance NETNS_A NETNS_B MICROSECONDS`. Makes a device `away` in each; what
 * is sent out of one comes out of the other after that time, in order, none of it lost but what exceeds the queue. Says `ready`
 * and goes on until it is killed; the devices end with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Packets of 64 KiB, so that the two cores are not spent here; more of them than a window of any stream holds. */
enum { largest = 65536, places = 1024 };

struct packet {
  uint64_t due;
  ssize_t size;
  char bytes[largest];
};

struct direction {
  int from, to;
  struct packet *queue;
  unsigned head, tail;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int device_in(const char *netns) {
  int space = open(netns, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) != 0) fail(netns);
  close(space);
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strcpy(request.ifr_name, "away");
  if (device < 0 || ioctl(device, TUNSETIFF, &request) != 0) fail("/dev/net/tun");
  return device;
}

static void take_in(struct direction *way, uint64_t delay) {
  while (way->head - way->tail < places) {
    struct packet *packet = &way->queue[way->head % places];
    packet->size = read(way->from, packet->bytes, largest);
    if (packet->size < 0 && errno == EAGAIN) return;
    if (packet->size < 0) fail("read");
    packet->due = now() + delay;
    way->head++;
  }
}

/* Gives out what is due; the time of the next one, or UINT64_MAX. */
static uint64_t give_out(struct direction *way) {
  for (; way->tail != way->head; way->tail++) {
    struct packet *packet = &way->queue[way->tail % places];
    if (packet->due > now()) return packet->due;
    /* EIO: the other device is not up yet; what comes too early is lost. */
    if (write(way->to, packet->bytes, (size_t)packet->size) < 0 && errno != EAGAIN && errno != EIO) fail("write");
  }
  return UINT64_MAX;
}

int main(int count, char **arguments) {
  if (count != 4) return 64;
  uint64_t delay = strtoull(arguments[3], NULL, 10) * 1000u;
  int a = device_in(arguments[1]), b = device_in(arguments[2]);
  struct direction ways[] = {{.from = a, .to = b}, {.from = b, .to = a}};
  struct pollfd polled[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
  for (int way = 0; way < 2; way++)
    if ((ways[way].queue = calloc(places, sizeof(struct packet))) == NULL) fail("calloc");
  puts("{\"event\":\"ready\"}");
  fflush(stdout);
  for (;;) {
    uint64_t next = UINT64_MAX;
    for (int way = 0; way < 2; way++) {
      take_in(&ways[way], delay);
      uint64_t due = give_out(&ways[way]);
      if (due < next) next = due;
    }
    uint64_t time = now(), left = next > time ? next - time : 0;
    struct timespec wait = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
    if (ppoll(polled, 2, next == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR) fail("poll");
  }
}
