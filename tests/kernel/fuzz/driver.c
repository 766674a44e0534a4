/* libFuzzer around a function of targets.py, which FUZZ_TARGET names: bytes in, an exception out
   if anything is wrong. The compiled modules that it calls tell libFuzzer which branches they take,
   and AddressSanitizer watches each access that they make. */
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

static PyObject *target;

static void stop(void) {
  PyErr_Print();
  abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  const char *name = getenv("FUZZ_TARGET");
  PyObject *module;
  (void)argc;
  (void)argv;
  Py_InitializeEx(0);
  module = PyImport_ImportModule("tests.kernel.fuzz.targets");
  if (!module || !name) stop();
  target = PyObject_GetAttrString(module, name);
  if (!target) stop();
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  PyObject *input = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
  PyObject *result = input ? PyObject_CallOneArg(target, input) : NULL;
  if (!result) stop();
  Py_DECREF(input);
  Py_DECREF(result);
  return 0;
}
