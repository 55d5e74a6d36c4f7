/* SPDX-License-Identifier: Apache-2.0 */
/* train_open.c - from a job file to a trainer that is ready: everything that can be wrong with the
 * input is found here
 *
 * Order: job file, kernels, data, plug-in and model (it must fit the records), layout, region,
 * state, checkpoint folder. Who joins others needs no state: theirs comes, and all that it would
 * make or load before is work that they would lack on the same cores. Else the state comes from the
 * checkpoint that the coordinator names; else from the one that the job names; else it is made new.
 * A checkpoint that the coordinator named and that cannot be read here is no failure: another
 * worker's state will be broadcast, or the coordinator will see that nobody has it. One that the
 * job's owner named is.
 *
 * Nothing is closed: the process ends with its job, and with a job that fails to open. */
#include "train.h"

#include "common/log.h"
#include "worker/trainers/loader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- job file --------------------------------------------------------------------------------- */

static int read_spec (struct train_job *job, struct mu_blob text, struct mu_error *error)
{
    struct mu_jobspec_problems *problems = calloc (1, sizeof *problems);
    job->json = malloc ((size_t)text.size + 1);
    if (!problems || !job->json) {
        free (problems);
        return mu_fail (error, MU_SYSTEM, "no memory for the job file");
    }
    memcpy (job->json, text.size ? text.data : "", text.size);
    job->json[text.size] = '\0';
    int status = mu_jobspec_from_json (job->json, text.size, &job->spec, problems);
    if (status < 0)
        mu_jobspec_problems_fail (problems, error);
    free (problems);
    job->micro_batches = status < 0 ? 0 : mu_jobspec_micro_batches (&job->spec);
    return status;
}

static void read_optimizer (struct mu_optimizer *optimizer, const struct mu_jobspec *spec)
{
    static const enum mu_schedule schedules[] = {
        [MU_JOBSPEC_OPTIMIZER_SCHEDULE_CONSTANT] = MU_SCHEDULE_CONSTANT,
        [MU_JOBSPEC_OPTIMIZER_SCHEDULE_COSINE] = MU_SCHEDULE_COSINE,
        [MU_JOBSPEC_OPTIMIZER_SCHEDULE_LINEAR] = MU_SCHEDULE_LINEAR,
    };
    *optimizer = (struct mu_optimizer){
        .schedule = schedules[spec->optimizer.schedule],
        .non_finite = spec->non_finite == MU_JOBSPEC_NON_FINITE_SKIP ? MU_NON_FINITE_SKIP
                                                                     : MU_NON_FINITE_FAIL,
        .rate = spec->optimizer.learning_rate,
        .rate_min = spec->optimizer.min_learning_rate,
        .warmup_steps = spec->optimizer.warmup,
        .steps = spec->steps,
        .beta1 = spec->optimizer.beta1,
        .beta2 = spec->optimizer.beta2,
        .epsilon = spec->optimizer.epsilon,
        .weight_decay = spec->optimizer.weight_decay,
        .clip_norm = spec->optimizer.clip,
    };
}

static int choose_kernels (struct train_job *job, const char *isa, struct mu_error *error)
{
    bool host = job->spec.bits == MU_JOBSPEC_BITS_HOST;
    job->kernels = mu_kernels_get (host ? "openblas" : isa, error);
    if (!job->kernels && host)
        mu_error_prefix (error, "the job says `bits: host`, which this worker cannot do: ");
    return job->kernels ? 0 : -1;
}

/* --- data ------------------------------------------------------------------------------------- */

static void say_progress (void *user, const char *what, uint64_t done, uint64_t total)
{
    train_report_working (user, what, done, total);
    mu_log (MU_LOG_DEBUG, "data", &MU_LOG_ABOUT_NOTHING, "%s: %llu of %llu", what,
            (unsigned long long)done, (unsigned long long)total);
}

static void make_data_spec (struct mu_data_spec *data, const struct mu_jobspec *spec,
                            const char *cache)
{
    static const char *const formats[] = {
        [MU_JOBSPEC_DATA_FORMAT_AUTO] = "auto",   [MU_JOBSPEC_DATA_FORMAT_TEXT] = "text",
        [MU_JOBSPEC_DATA_FORMAT_LLMC] = "llmc",   [MU_JOBSPEC_DATA_FORMAT_NPY] = "npy",
        [MU_JOBSPEC_DATA_FORMAT_IDX] = "idx",     [MU_JOBSPEC_DATA_FORMAT_CSV] = "csv",
        [MU_JOBSPEC_DATA_FORMAT_JSONL] = "jsonl",
    };
    static const enum mu_data_header headers[] = {
        [MU_JOBSPEC_DATA_HEADER_AUTO] = MU_DATA_HEADER_AUTO,
        [MU_JOBSPEC_DATA_HEADER_YES] = MU_DATA_HEADER_YES,
        [MU_JOBSPEC_DATA_HEADER_NO] = MU_DATA_HEADER_NO,
    };
    *data = (struct mu_data_spec){
        .paths = (const char *const *)spec->data.path.item,
        .path_count = (uint32_t)spec->data.path.count,
        .labels = (const char *const *)spec->data.labels.item,
        .label_count = (uint32_t)spec->data.labels.count,
        .format = formats[spec->data.format],
        .tokenizer = spec->data.tokenizer,
        .context = (uint32_t)spec->data.context,
        .vocabulary = (uint32_t)spec->data.vocabulary,
        .classes = (uint32_t)spec->data.classes,
        .label_column = spec->data.label_column,
        .header = headers[spec->data.header],
        .text_field = spec->data.field,
        .scale = spec->data.scale,
        .cache = spec->data.cache ? spec->data.cache : cache,
        .progress = say_progress,
    };
}

static bool is_evaluated (const struct mu_jobspec *spec)
{
    return spec->eval.path.count > 0 || spec->eval.fraction > 0;
}

static int open_evaluation (struct train_job *job, const struct train_options *options,
                            struct mu_error *error)
{
    struct train_evaluation *evaluation = &job->evaluation;
    const struct mu_jobspec *spec = &job->spec;
    if (!is_evaluated (spec))
        return 0;
    struct mu_data_spec data;
    make_data_spec (&data, spec, options->cache);
    data.progress_user = options->report;
    if (spec->eval.path.count) {
        data.paths = (const char *const *)spec->eval.path.item;
        data.path_count = (uint32_t)spec->eval.path.count;
        data.labels = (const char *const *)spec->eval.labels.item;
        data.label_count = (uint32_t)spec->eval.labels.count;
    } else {
        data.from = 1 - spec->eval.fraction;
    }
    data.vocabulary = job->info.vocabulary;
    data.classes = job->info.classes;
    if (mu_data_open (&evaluation->data, &data, error) < 0) {
        mu_error_prefix (error, "the data to judge with (eval): ");
        return -1;
    }
    mu_data_info (evaluation->data, &evaluation->info);
    if (evaluation->info.tokens != job->info.tokens ||
        evaluation->info.features != job->info.features)
        return mu_fail (error, MU_BAD_INPUT,
                        "the data to judge with (eval) has records of another shape than the data "
                        "to train on: %u tokens and %u features against %u and %u",
                        evaluation->info.tokens, evaluation->info.features, job->info.tokens,
                        job->info.features);
    uint64_t all = (evaluation->info.records + spec->batch.micro - 1) / spec->batch.micro;
    evaluation->batches = spec->eval.batches && spec->eval.batches < all ? spec->eval.batches : all;
    evaluation->every = spec->eval.every;
    mu_order_init (&evaluation->order, evaluation->info.records, 0);
    return 0;
}

static int open_data (struct train_job *job, const struct train_options *options,
                      struct mu_error *error)
{
    struct mu_data_spec data;
    make_data_spec (&data, &job->spec, options->cache);
    data.progress_user = options->report;
    if (job->spec.eval.path.count == 0 && job->spec.eval.fraction > 0)
        data.to = 1 - job->spec.eval.fraction;
    if (mu_data_open (&job->data, &data, error) < 0)
        return -1;
    mu_data_info (job->data, &job->info);
    if (job->info.records < job->spec.batch.global)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s%s has %llu records, but one step takes %llu (batch.global): use more "
                        "data or a smaller batch",
                        job->spec.data.path.item[0], job->spec.data.path.count > 1 ? ", ..." : "",
                        (unsigned long long)job->info.records,
                        (unsigned long long)job->spec.batch.global);
    mu_order_init (&job->order, job->info.records, job->spec.seed);
    if (open_evaluation (job, options, error) < 0)
        return -1;
    snprintf (job->identity, sizeof job->identity, "%s%s%s", job->info.identity,
              job->evaluation.data ? "+" : "",
              job->evaluation.data ? job->evaluation.info.identity : "");
    return 0;
}

/* --- model ------------------------------------------------------------------------------------ */

/* A plug-in may be built anew while its job trains: whoever loads it then would compute something else than the
 * others. So its build is part of what they compare before they train. */
static int find_trainer (struct train_job *job, struct mu_error *error)
{
    char build[MU_TRAINER_BUILD_SIZE];
    if (mu_trainer_find (job->spec.trainer, &job->trainer, &job->plugin, error) < 0 ||
        mu_trainer_build (job->spec.trainer, build, error) < 0)
        return -1;
    size_t used = strlen (job->identity);
    if (*build)
        snprintf (job->identity + used, sizeof job->identity - used, "*%s", build);
    return 0;
}

static int open_model (struct train_job *job, struct mu_error *error)
{
    const struct mu_setting_list *model = &job->spec.model;
    job->settings = calloc (model->count + 1, sizeof *job->settings);
    if (!job->settings)
        return mu_fail (error, MU_SYSTEM, "no memory for the trainer's settings");
    for (size_t i = 0; i < model->count; i++)
        job->settings[i] = (struct muster_setting){ model->item[i].key, model->item[i].value };
    job->records = (struct muster_records){ .size = sizeof job->records,
                                            .tokens = job->info.tokens,
                                            .vocabulary = job->info.vocabulary,
                                            .features = job->info.features,
                                            .classes = job->info.classes };
    struct muster_open open = { .size = sizeof open,
                                .setting_count = (uint32_t)model->count,
                                .settings = job->settings,
                                .records = &job->records,
                                .math = &job->kernels->math,
                                .micro_batch = (uint32_t)job->spec.batch.micro };
    struct muster_problem problem = { "" };
    if (job->trainer->open (&job->model, &open, &problem) < 0)
        return mu_fail (error, MU_BAD_INPUT, "%s%s%s", job->plugin ? job->spec.trainer : "",
                        job->plugin ? ": " : "", mu_trainer_words (&problem));
    return 0;
}

/* --- layout and region ------------------------------------------------------------------------ */

/* Where sums and buckets lie follows from the state's shape, which only a laid-out state has. */
static int plan_sums (struct train_job *job, size_t state_bytes, uint32_t tensors,
                      struct mu_error *error)
{
    enum mu_sums_form form =
        job->spec.reduce == MU_JOBSPEC_REDUCE_INT64 ? MU_SUMS_INT64 : MU_SUMS_INT32;
    void *memory = aligned_alloc (MU_STATE_ALIGNMENT, state_bytes);
    if (!memory)
        return mu_fail (error, MU_SYSTEM, "no memory for a state of %zu bytes", state_bytes);
    struct mu_state *shape =
        mu_state_lay_out_head (memory, state_bytes, job->tensors, tensors, error);
    int status = -1;
    if (shape && mu_sums_plan (&job->layout, shape, form, job->micro_batches, error) == 0)
        status = train_plan_buckets (&job->buckets, &job->layout, shape, error);
    free (memory);
    return status;
}

static int make_region (struct train_job *job, struct mu_error *error)
{
    uint32_t tensors = 0;
    job->tensors = job->trainer->tensors (job->model, &tensors);
    size_t state_bytes = mu_state_size (job->tensors, tensors, error);
    if (!state_bytes || plan_sums (job, state_bytes, tensors, error) < 0)
        return -1;
    struct mu_region_layout layout = {
        .element = job->layout.form == MU_SUMS_INT64 ? MU_ELEMENT_INT64 : MU_ELEMENT_INT32,
        .state_bytes = state_bytes,
        .sums_elements = job->layout.words,
        .bucket_count = job->buckets.count,
        .buckets = job->buckets.bucket,
    };
    job->region = mu_region_create (&layout, &job->region_fd, error);
    if (!job->region)
        return -1;
    job->comm = mu_comm_mpi_create (job->region, error);
    if (!job->comm)
        return -1;
    job->state =
        mu_state_lay_out_head (job->region->state, state_bytes, job->tensors, tensors, error);
    return job->state ? 0 : -1;
}

/* --- state ------------------------------------------------------------------------------------ */

static bool is_muster_checkpoint (const char *path)
{
    char name[PATH_MAX];
    struct stat found;
    return snprintf (name, sizeof name, "%s/muster.json", path) < (int)sizeof name &&
           stat (name, &found) == 0;
}

/* Sizes from this process's own memory: the block may be half of somebody else's. */
static struct mu_state *lay_out_again (struct train_job *job, struct mu_error *error)
{
    return mu_state_lay_out_head (job->region->state, job->region->layout.state_bytes, job->tensors,
                                  job->layout.tensors, error);
}

int train_go_blank (struct train_job *job, struct mu_error *error)
{
    job->blank = true;
    return lay_out_again (job, error) ? 0 : -1;
}

/* Shapes do not tell everything about a model: how many heads share a matrix, say. */
static int match_config (const struct train_job *job, const char *init, struct mu_error *error)
{
    if (!job->trainer->config_json)
        return 0;
    size_t size = job->trainer->config_json (job->model, NULL, 0) + 1;
    char *config = malloc (size);
    if (!config)
        return mu_fail (error, MU_SYSTEM, "no memory for the trainer's config.json");
    job->trainer->config_json (job->model, config, size);
    int status = mu_checkpoint_match_config (init, config, error);
    free (config);
    return status;
}

/* Else the first gradient is blamed, with the data and the learning rate. */
static int check_first_weights (const struct train_job *job, struct mu_error *error)
{
    const struct mu_state_tensor *table = mu_state_table (job->state);
    const float *weights = mu_state_weights_const (job->state);
    for (uint32_t i = 0; i < job->state->tensors; i++)
        if (!isfinite (job->kernels->math.max_abs (weights + table[i].first, table[i].elements)))
            return mu_fail (
                error, MU_BAD_INPUT,
                "the trainer's initial weights of tensor %s are not all finite numbers; "
                "mend its init ()",
                job->tensors[i].name);
    return 0;
}

/* The state of step 0: initial weights, or those that checkpoint.init names. */
static int make_first_state (struct train_job *job, struct mu_error *error)
{
    const char *init = job->spec.checkpoint.init;
    if (!lay_out_again (job, error))
        return -1;
    mu_state_init (job->state, job->trainer, job->model, job->spec.seed);
    if (!init || !*init)
        return check_first_weights (job, error);
    if (match_config (job, init, error) == 0 &&
        mu_checkpoint_load_weights (init, job->state, job->tensors, error) == 0)
        return 0;
    mu_error_prefix (error, "checkpoint.init: ");
    return -1;
}

static int load_state (struct train_job *job, const char *path, const char *hash,
                       struct mu_error *error)
{
    uint8_t found[MU_STATE_HASH_SIZE];
    char text[MU_STATE_HASH_TEXT];
    if (mu_checkpoint_load (path, job->state, job->tensors, NULL, error) < 0)
        return -1;
    mu_state_hash (job->state, found);
    mu_state_hash_text (found, text);
    if (*hash && strcmp (hash, text) != 0)
        return mu_fail (error, MU_BAD_INPUT, "the weights in %s have hash %s, not %s", path, text,
                        hash);
    return 0;
}

static bool is_of_step (const struct train_job *job, const char *path, uint64_t step,
                        struct mu_error *error)
{
    if (job->state->step == step)
        return true;
    mu_fail (error, MU_BAD_INPUT, "the checkpoint in %s is of step %llu, not %llu", path,
             (unsigned long long)job->state->step, (unsigned long long)step);
    return false;
}

/* A path, or the id of a checkpoint in the job's folder: its step, or the name it has there. */
static int name_resume (const struct train_job *job, const char *resume, char path[PATH_MAX],
                        struct mu_error *error)
{
    int length;
    if (strchr (resume, '/'))
        length = snprintf (path, PATH_MAX, "%s", resume);
    else if (resume[strspn (resume, "0123456789")])
        length = snprintf (path, PATH_MAX, "%s/%s", job->checkpoint_dir, resume);
    else
        length = snprintf (path, PATH_MAX, "%s/step-%08llu", job->checkpoint_dir,
                           strtoull (resume, NULL, 10));
    if (length < 0 || length >= PATH_MAX)
        return mu_fail (error, MU_CONFIG, "checkpoint.resume: the path is too long");
    return 0;
}

/* What the job's owner asked for with checkpoint.resume. *path stays empty for `no`, and for
 * `newest` where there is none yet. */
static int find_resume (const struct train_job *job, char path[PATH_MAX], struct mu_error *error)
{
    const char *resume = job->spec.checkpoint.resume;
    path[0] = '\0';
    if (!resume || !strcmp (resume, "no"))
        return 0;
    if (!strcmp (resume, "newest")) {
        struct mu_error none = { .code = MU_OK };
        if (mu_checkpoint_find (job->checkpoint_dir, UINT64_MAX, path, NULL, &none) == 0)
            return 0;
        path[0] = '\0';
        if (none.code == MU_NOT_FOUND)
            return 0;
        *error = none;
        return -1;
    }
    if (name_resume (job, resume, path, error) < 0)
        return -1;
    if (!is_muster_checkpoint (path))
        return mu_fail (error, MU_NO_INPUT,
                        "checkpoint.resume: %s is no checkpoint folder that this worker can read; "
                        "name one that holds a muster.json, on storage that the workers share",
                        path);
    return 0;
}

/* As the coordinator counts them, but in a number that may have a part behind the point. */
static double last_step (const struct train_job *job)
{
    const struct mu_jobspec *spec = &job->spec;
    return spec->steps
               ? (double)spec->steps
               : (double)spec->epochs * (double)job->info.records / (double)spec->batch.global;
}

/* A checkpoint that the job's owner named, not one that the coordinator knows of. With another seed the
 * rest of its epoch would come in another order: some records twice, others never. */
static int match_named (const struct train_job *job, const char *path,
                        const struct mu_checkpoint_info *info, struct mu_error *error)
{
    double last = last_step (job);
    if ((double)info->step >= last + 1)
        return mu_fail (
            error, MU_CONFIG,
            "the checkpoint %s is of step %llu, but the job ends with step %.0f; let it "
            "train more steps, or go on from an earlier checkpoint",
            path, (unsigned long long)info->step, ceil (last));
    if (info->seed != job->spec.seed)
        return mu_fail (error, MU_CONFIG,
                        "the checkpoint %s was trained with seed %llu, but the job has seed %llu, "
                        "another order of the records; say `seed: %llu` to go on with what is left "
                        "of its epoch, or take its weights alone, at step 0, with checkpoint.init",
                        path, (unsigned long long)info->seed, (unsigned long long)job->spec.seed,
                        (unsigned long long)info->seed);
    return 0;
}

static int check_named (const struct train_job *job, const char *path, struct mu_error *error)
{
    struct mu_checkpoint_info info;
    if (match_config (job, path, error) < 0 || mu_checkpoint_read_info (path, &info, error) < 0)
        return -1;
    int status = match_named (job, path, &info, error);
    mu_checkpoint_info_clear (&info);
    return status;
}

static int load_named (struct train_job *job, struct mu_error *error)
{
    char path[PATH_MAX];
    if (find_resume (job, path, error) < 0)
        return -1;
    if (!*path)
        return make_first_state (job, error);
    if (check_named (job, path, error) == 0 && load_state (job, path, "", error) == 0)
        return 0;
    mu_error_prefix (error, "checkpoint.resume: ");
    return -1;
}

/* A coordinator that was restored from a backup knows none of those that were written since, and `keep` may
 * have removed those that it knows. */
static uint64_t find_newer (const struct train_job *job, uint64_t step)
{
    struct mu_checkpoint_entry *entries = NULL;
    struct mu_error error;
    size_t count = 0;
    uint64_t newer = 0;
    if (mu_checkpoint_list (job->checkpoint_dir, &entries, &count, &error) < 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (entries[i].whole && entries[i].step > step)
            newer = entries[i].step;
    free (entries);
    return newer;
}

static void say_unread (struct train_job *job, uint64_t step, const char *why)
{
    uint64_t newer = find_newer (job, step);
    char text[2 * MU_ERROR_TEXT_MAX];
    snprintf (text, sizeof text,
              "that of step %llu is there, and a new job with `checkpoint.resume: newest` goes on "
              "from it; %s",
              (unsigned long long)newer, why);
    mu_text_set (job->unread, sizeof job->unread, newer ? text : why);
}

static int load_ordered (struct train_job *job, const struct mu_wire_prepare *prepare,
                         struct mu_error *error)
{
    char path[PATH_MAX];
    struct mu_error why;
    snprintf (path, sizeof path, "%.*s", (int)prepare->resume_path.size,
              (const char *)prepare->resume_path.data);
    if (load_state (job, path, prepare->resume_hash, &why) == 0 &&
        is_of_step (job, path, prepare->resume_step, &why))
        return 0;
    if (why.code == MU_BAD_INPUT)
        job->unsound = prepare->resume_step;
    else /* it may be what it should be */
        say_unread (job, prepare->resume_step, why.text);
    mu_log (MU_LOG_WARN, "resume", &MU_LOG_ABOUT_NOTHING,
            "the checkpoint %s of step %llu cannot be used here, so this worker needs the state "
            "from another: %s",
            path, (unsigned long long)prepare->resume_step, why.text);
    return make_first_state (job, error);
}

static int fill_state (struct train_job *job, const struct mu_wire_prepare *prepare,
                       struct mu_error *error)
{
    if (prepare->joins) {
        job->blank = true;
        return 0;
    }
    return prepare->resume_path.size ? load_ordered (job, prepare, error) : load_named (job, error);
}

/* --- all of it -------------------------------------------------------------------------------- */

static int name_checkpoints (struct train_job *job, const struct train_options *options,
                             struct mu_error *error)
{
    const char *dir = job->spec.checkpoint.dir;
    int length;
    if (dir && *dir)
        length = snprintf (job->checkpoint_dir, sizeof job->checkpoint_dir, "%s", dir);
    else
        length =
            snprintf (job->checkpoint_dir, sizeof job->checkpoint_dir, "%s/jobs/%llu/checkpoints",
                      options->dir, (unsigned long long)job->number);
    if (length < 0 || (size_t)length >= sizeof job->checkpoint_dir)
        return mu_fail (error, MU_CONFIG, "the path of the checkpoint folder is too long");
    return 0;
}

int train_open (struct train_job *job, const struct train_options *options,
                const struct mu_wire_prepare *prepare, struct mu_error *error)
{
    *job = (struct train_job){ .number = prepare->job, .region_fd = -1 };
    if (read_spec (job, prepare->spec, error) < 0)
        return -1;
    job->threads = (uint32_t)(job->spec.threads ? job->spec.threads : options->threads);
    read_optimizer (&job->optimizer, &job->spec);
    if (choose_kernels (job, options->isa, error) < 0 ||
        name_checkpoints (job, options, error) < 0 || open_data (job, options, error) < 0 ||
        find_trainer (job, error) < 0 || open_model (job, error) < 0 ||
        make_region (job, error) < 0)
        return -1;
    job->distrusts = prepare->distrusted != 0 || prepare->replaces;
    if (prepare->anew && train_clear_folder (job, prepare->resume_step, error) < 0)
        return -1;
    return fill_state (job, prepare, error) < 0 ? -1 : train_check_folder (job, error);
}
