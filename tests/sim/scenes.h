/* SPDX-License-Identifier: Apache-2.0 */
/* scenes.h - quiet worlds by name, and what each was waited for at worst: quiet.c, reigns_quiet.c */
#ifndef SIM_SCENES_H
#define SIM_SCENES_H

#include <stddef.h>
#include <stdint.h>

struct scene {
    const char *name;
    void (*play) (void);
    uint32_t least; /* workers, where there are such */
};

/* Something came after so long, which was within its limit; the worst of a scene is told. */
void scenes_waited (uint64_t took_ms, uint64_t limit_ms);

/* Lists the scenes, or runs one or all of them, each by `run`. The program's exit status. */
int scenes_run (const char *program, const struct scene *scenes, size_t count, const char *name,
                void (*run) (const struct scene *scene));

#endif
