/* SPDX-License-Identifier: Apache-2.0 */
/* io_register_module.c - a kind of register that is loaded when it is named; decision 0037
 *
 * What was loaded stays until the process ends: the libraries beneath a module (libcurl's TLS) do not
 * promise that they can be taken out again. */
#include "io_register_kinds.h"

#include "companion.h"
#include "config.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

static int check_module (const struct register_module *module, const char *path,
                         struct mu_error *error)
{
    if (!module)
        return mu_fail (error, MU_CONFIG, "%s exports no %s: it is no register of Muster", path,
                        REGISTER_MODULE_SYMBOL);
    if (module->abi != REGISTER_MODULE_ABI || strcmp (module->version, PACKAGE_VERSION) != 0)
        return mu_fail (error, MU_CONFIG,
                        "%s is of another version than this muster-coordinator (%s): install both "
                        "from one build",
                        path, PACKAGE_VERSION);
    return 0;
}

const struct register_kind *register_load (const char *file, struct mu_error *error)
{
    char path[PATH_MAX];
    if (!mu_find_companion (path, file, R_OK)) {
        mu_fail (error, MU_CONFIG,
                 "%s is not in %s: it is installed with a Muster that was built where "
                 "libcurl4-openssl-dev is, or MUSTER_LIBEXECDIR names its folder; or use another "
                 "register",
                 file, MU_LIBEXECDIR);
        return NULL;
    }
    void *object = dlopen (path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        mu_fail (error, MU_CONFIG,
                 "%s cannot be loaded: %s; install Muster again, or use another register", path,
                 dlerror ());
        return NULL;
    }
    const struct register_module *module = dlsym (object, REGISTER_MODULE_SYMBOL);
    return check_module (module, path, error) ? NULL : &module->kind;
}
