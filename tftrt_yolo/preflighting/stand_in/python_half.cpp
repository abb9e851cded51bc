// Calls Python in the same process: TensorFlow's own, which is looked up at run time.

#include <dlfcn.h>
#include <string.h>

#include "runtime.h"

namespace stand_in {
namespace {

char const kModule[] = "tftrt_yolo.preflighting.rehearsal.runtime";

// What is used of Python's C interface; nothing of it is linked.
struct Python {
    int (*is_initialized)();
    int (*is_finalizing)();
    int (*ensure)();
    void (*release)(int);
    void* (*import)(char const*);
    void* (*call_method)(void*, char const*, char const*, ...);
    long long (*as_long_long)(void*);
    void (*decrease)(void*);
    void (*print_error)();
};

template <typename Function>
void find(Function& function, char const* name) { function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name)); }

Python const& python() {
    static Python found;
    if (found.ensure) return found;
    find(found.is_initialized, "Py_IsInitialized");
    find(found.is_finalizing, "Py_IsFinalizing");                         // of Python 3.13
    if (!found.is_finalizing) find(found.is_finalizing, "_Py_IsFinalizing");
    find(found.release, "PyGILState_Release");
    find(found.import, "PyImport_ImportModule");
    find(found.call_method, "PyObject_CallMethod");
    find(found.as_long_long, "PyLong_AsLongLong");
    find(found.decrease, "Py_DecRef");
    find(found.print_error, "PyErr_Print");
    decltype(found.ensure) ensure;
    find(ensure, "PyGILState_Ensure");
    if (!ensure || !found.release || !found.import || !found.call_method || !found.as_long_long || !found.decrease ||
        !found.print_error || !found.is_initialized)
        fail("it computes in Python, and this process has none. Rehearse in a Python program");
    found.ensure = ensure;                                                // last: another thread may look meanwhile
    return found;
}

}  // namespace

int64_t ask(Logger* logger, char const* function, int64_t const* arguments, int32_t count) {
    Python const& py = python();
    if (!py.is_initialized() || (py.is_finalizing && py.is_finalizing())) return -1;  // the process is ending
    char words[kWords] = "";
    int64_t result = -1;
    int const state = py.ensure();
    if (void* module = py.import(kModule)) {
        void* given = py.call_method(module, "call", "sLiLi", function, reinterpret_cast<long long>(arguments), count,
                                     reinterpret_cast<long long>(words), static_cast<int>(sizeof words));
        if (given) {
            result = py.as_long_long(given);
            py.decrease(given);
        } else {
            strcpy(words, "its half in Python failed; the traceback is above");
            py.print_error();
        }
        py.decrease(module);
    } else {
        strcpy(words, "its half in Python, tftrt_yolo, cannot be imported; the traceback is above. Start the program "
                      "by `python -m tftrt_yolo.preflighting.rehearsal`");
        py.print_error();
    }
    py.release(state);
    if (result < 0) say(logger, Severity::kERROR, "%s", words);           // without Python's lock: it may be waited for
    return result;
}

}  // namespace stand_in
