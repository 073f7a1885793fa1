/*
 * What Node has no way to ask for: that the C library gives back what was freed. It keeps it, for the next buffers, and
 * scattered free pages it keeps for ever. glibc's malloc_trim(3), and nothing else.
 */
#define NAPI_VERSION 8
#include <node_api.h>

#include <malloc.h>
#include <stddef.h>

static napi_value trim(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  malloc_trim(0);
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value function;
  if (napi_create_function(env, "trim", NAPI_AUTO_LENGTH, trim, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "trim", function) != napi_ok)
    return NULL;
  return exports;
}
