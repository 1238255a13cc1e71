/* The benchmarks' server: an OpenAI-shaped endpoint whose times are known.
 *
 * One thread, epoll, HTTP/1.1 keep-alive, one timerfd for all streams. It shares no code with the
 * client or with `steelyard mock`, so that an error of theirs can't hide in both places.
 *
 *   server [--port N] [--ttft-ms X] [--itl-ms X] [--tokens N] [--truth FILE]
 *
 * It prints "listening on http://127.0.0.1:PORT", serves until SIGINT or SIGTERM, then writes the
 * truth: one CSV row per finished answer, times in CLOCK_MONOTONIC nanoseconds:
 *
 *   x_request_id    the request's X-Request-ID header
 *   received_ns     the kernel's receive stamp of the segment that completed the request
 *   first_send_ns, second_send_ns, last_send_ns
 *                   taken right before the write of that content chunk; without --itl-ms all
 *                   chunks leave in one write and share its time
 *   chunks          content chunks written
 *
 * An answer has `max_tokens` (or `max_completion_tokens`) tokens, --tokens without it, one per
 * chunk. A stream begins with a role chunk, sent at once; finish reason, usage and [DONE] leave
 * with the last content chunk.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 65536, REQUEST_MAX = 1 << 20, TOKENS_MAX = 4096, ID_MAX = 63 };
enum { EVENTS_MAX = 512, KIND_CHAT = 0, KIND_TEXT = 1 };

typedef struct {
    char *data;
    size_t size, room;
} Buffer;

typedef struct {
    char id[ID_MAX + 1];
    int64_t received_ns, first_ns, second_ns, last_ns;
    int chunks;
} Truth;

typedef struct {
    int fd;
    bool streaming;
    int kind, tokens, sent_chunks;
    int64_t due_ns;
    int heap_at; /* place in the heap of deadlines, -1 for none */
    Buffer in;
    const char *out; /* what is left of the write under way */
    size_t out_size;
    char *out_owned;
    Truth truth;
} Connection;

static int64_t ttft_ns, itl_ns, wall_offset_ns;
static int default_tokens = 128;
static int epoll_fd, timer_fd;
static Connection *connections[CONNECTIONS_MAX];
static Connection **heap;
static int heap_size, heap_room;
static Truth *truths;
static size_t truth_count, truth_room;
static bool keep_truth;
static Buffer whole_stream[2][TOKENS_MAX + 1], whole_body[2][TOKENS_MAX + 1], tails[2][TOKENS_MAX + 1];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* The tightest of five readings of the distance between the two clocks. */
static void sample_offset(void) {
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t before = now_ns(), wall = clock_ns(CLOCK_REALTIME), after = now_ns();
        if (after - before < best) {
            best = after - before;
            wall_offset_ns = wall - (before + after) / 2;
        }
    }
}

static void append(Buffer *buffer, const char *data, size_t size) {
    if (buffer->size + size + 1 > buffer->room) {
        buffer->room = (buffer->size + size + 1) * 2;
        buffer->data = realloc(buffer->data, buffer->room);
        if (!buffer->data) fail("realloc");
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = 0;
}

/* ---- what is said -------------------------------------------------------------------------- */

static const char *const OBJECTS[2] = {"chat.completion.chunk", "text_completion"};

static void append_event(Buffer *to, const char *json) {
    char head[32];
    size_t size = strlen(json) + 8; /* "data: " and two line ends */
    append(to, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", size));
    append(to, "data: ", 6);
    append(to, json, size - 8);
    append(to, "\n\n\r\n", 4);
}

static void append_chunk(Buffer *to, int kind, const char *part) {
    char json[512];
    snprintf(json, sizeof json,
             "{\"id\":\"bench-1\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"bench\","
             "\"choices\":[%s]}", OBJECTS[kind], part);
    append_event(to, json);
}

static void append_content(Buffer *to, int kind) {
    append_chunk(to, kind, kind == KIND_CHAT
        ? "{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}"
        : "{\"index\":0,\"text\":\" word\",\"finish_reason\":null}");
}

static void append_stream_head(Buffer *to, int kind) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    append(to, head, sizeof head - 1);
    if (kind == KIND_CHAT)
        append_chunk(to, kind, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                               "\"finish_reason\":null}");
}

static int usage_json(char *to, size_t room, int tokens) {
    return snprintf(to, room, "\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":%d,"
                              "\"total_tokens\":%d}", tokens, tokens + 16);
}

static void append_tail(Buffer *to, int kind, int tokens) {
    char usage[128], json[512];
    append_chunk(to, kind, kind == KIND_CHAT
        ? "{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}"
        : "{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}");
    usage_json(usage, sizeof usage, tokens);
    snprintf(json, sizeof json,
             "{\"id\":\"bench-1\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"bench\","
             "\"choices\":[],%s}", OBJECTS[kind], usage);
    append_event(to, json);
    append_event(to, "[DONE]");
    append(to, "0\r\n\r\n", 5);
}

static const Buffer *stream_of(int kind, int tokens) {
    Buffer *stream = &whole_stream[kind][tokens];
    if (!stream->size) {
        append_stream_head(stream, kind);
        for (int i = 0; i < tokens; i++) append_content(stream, kind);
        append_tail(stream, kind, tokens);
    }
    return stream;
}

static const Buffer *tail_of(int kind, int tokens) {
    Buffer *tail = &tails[kind][tokens];
    if (!tail->size) {
        append_content(tail, kind);
        append_tail(tail, kind, tokens);
    }
    return tail;
}

static const Buffer *content_of(int kind) {
    static Buffer contents[2];
    if (!contents[kind].size) append_content(&contents[kind], kind);
    return &contents[kind];
}

static const Buffer *head_of(int kind) {
    static Buffer heads[2];
    if (!heads[kind].size) append_stream_head(&heads[kind], kind);
    return &heads[kind];
}

static const Buffer *body_of(int kind, int tokens) {
    Buffer *answer = &whole_body[kind][tokens];
    if (answer->size) return answer;
    Buffer body = {0};
    char text[256];
    append(&body, text, (size_t)snprintf(text, sizeof text,
        "{\"id\":\"bench-1\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"bench\","
        "\"choices\":[{\"index\":0,%s", kind == KIND_CHAT ? "chat.completion" : OBJECTS[kind],
        kind == KIND_CHAT ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\""));
    for (int i = 0; i < tokens; i++) append(&body, " word", 5);
    append(&body, kind == KIND_CHAT ? "\"}" : "\"", kind == KIND_CHAT ? 2 : 1);
    append(&body, ",\"finish_reason\":\"length\"}],", 28);
    append(&body, text, (size_t)usage_json(text, sizeof text, tokens));
    append(&body, "}", 1);
    append(answer, text, (size_t)snprintf(text, sizeof text,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        body.size));
    append(answer, body.data, body.size);
    free(body.data);
    return answer;
}

/* ---- deadlines: a binary heap under one timerfd ---------------------------------------------- */

static void heap_put(int at, Connection *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void heap_up(int at) {
    Connection *c = heap[at];
    for (int up; at && heap[up = (at - 1) / 2]->due_ns > c->due_ns; at = up) heap_put(at, heap[up]);
    heap_put(at, c);
}

static void heap_down(int at) {
    Connection *c = heap[at];
    for (;;) {
        int child = 2 * at + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= c->due_ns) break;
        heap_put(at, heap[child]);
        at = child;
    }
    heap_put(at, c);
}

static void heap_add(Connection *c) {
    if (heap_size == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = realloc(heap, (size_t)heap_room * sizeof *heap);
        if (!heap) fail("realloc");
    }
    heap_put(heap_size++, c);
    heap_up(c->heap_at);
}

static void heap_remove(Connection *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    Connection *last = heap[--heap_size];
    if (last == c) return;
    heap_put(at, last);
    heap_up(at);
    heap_down(last->heap_at);
}

static void arm_timer(void) {
    static int64_t armed_ns;
    int64_t due_ns = heap_size ? heap[0]->due_ns : 0;
    if (due_ns == armed_ns && (!due_ns || due_ns > now_ns())) return;
    struct itimerspec spec = {.it_value = {due_ns / 1000000000, due_ns % 1000000000}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    armed_ns = due_ns;
}

/* ---- connections --------------------------------------------------------------------------- */

static void close_connection(Connection *c) {
    heap_remove(c);
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in.data);
    free(c->out_owned);
    free(c);
}

static void watch(Connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = c->fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event)) fail("epoll_ctl");
}

static void note_truth(const Truth *truth) {
    if (!keep_truth || !truth->id[0]) return;
    if (truth_count == truth_room) {
        truth_room = truth_room ? truth_room * 2 : 65536;
        truths = realloc(truths, truth_room * sizeof *truths);
        if (!truths) fail("realloc");
    }
    truths[truth_count++] = *truth;
}

/* Write all, or keep the rest for when the socket takes more. False: the connection is gone. */
static bool send_all(Connection *c, const char *data, size_t size) {
    if (c->out_size) { /* behind what still waits */
        char *joined = malloc(c->out_size + size);
        if (!joined) fail("malloc");
        memcpy(joined, c->out, c->out_size);
        memcpy(joined + c->out_size, data, size);
        free(c->out_owned);
        c->out = c->out_owned = joined;
        c->out_size += size;
        return true;
    }
    ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        close_connection(c);
        return false;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    if (done < size) {
        c->out = data + done; /* answers live as long as the process */
        c->out_size = size - done;
        watch(c, EPOLLIN | EPOLLOUT);
    }
    return true;
}

static bool drain_output(Connection *c) {
    ssize_t sent = send(c->fd, c->out, c->out_size, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno == EAGAIN) return true;
        close_connection(c);
        return false;
    }
    c->out += sent;
    c->out_size -= (size_t)sent;
    if (!c->out_size) {
        free(c->out_owned);
        c->out_owned = NULL;
        watch(c, EPOLLIN);
    }
    return true;
}

static bool answer_whole(Connection *c) {
    const Buffer *answer = c->streaming ? stream_of(c->kind, c->tokens) : body_of(c->kind, c->tokens);
    c->truth.chunks = c->streaming ? c->tokens : 1;
    c->truth.first_ns = c->truth.second_ns = c->truth.last_ns = now_ns();
    if (!send_all(c, answer->data, answer->size)) return false;
    note_truth(&c->truth);
    return true;
}

/* The next content chunk of a paced stream; the deadline after it is set from the plan, not from
 * now, so that a late chunk doesn't move the others. */
static bool send_next(Connection *c) {
    bool last = c->sent_chunks + 1 == c->tokens;
    const Buffer *chunk = last ? tail_of(c->kind, c->tokens) : content_of(c->kind);
    int64_t at_ns = now_ns();
    if (c->sent_chunks == 0) c->truth.first_ns = at_ns;
    if (c->sent_chunks == 1) c->truth.second_ns = at_ns;
    c->truth.last_ns = at_ns;
    c->truth.chunks = ++c->sent_chunks;
    if (!send_all(c, chunk->data, chunk->size)) return false;
    if (last) {
        heap_remove(c);
        note_truth(&c->truth);
    } else {
        c->due_ns += itl_ns;
        heap_down(c->heap_at);
    }
    return true;
}

static void drain_timer(void) {
    uint64_t ticks;
    if (read(timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("timerfd");
}

static void run_deadlines(void) {
    while (heap_size && heap[0]->due_ns <= now_ns()) {
        Connection *c = heap[0];
        if (c->streaming && itl_ns) {
            send_next(c);
        } else {
            heap_remove(c);
            answer_whole(c);
        }
    }
}

/* ---- requests ------------------------------------------------------------------------------ */

static long number_after(const char *text, const char *name) {
    const char *at = strstr(text, name);
    if (!at) return -1;
    at += strlen(name);
    while (*at == ' ' || *at == ':') at++;
    char *end;
    long value = strtol(at, &end, 10);
    return end == at ? -1 : value;
}

static const char *header(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    if (!at) return NULL;
    at += strlen(name);
    while (*at == ' ') at++;
    return at;
}

static bool is_true(const char *body, const char *name) {
    const char *at = strstr(body, name);
    if (!at) return false;
    at += strlen(name);
    while (*at == ' ' || *at == ':') at++;
    return !strncmp(at, "true", 4);
}

static bool serve(Connection *c, const char *head, const char *body, int64_t received_ns) {
    static const char models[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Content-Length: 41\r\n\r\n{\"object\":\"list\",\"data\":[{\"id\":\"bench\"}]}";
    static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    if (strncmp(head, "POST ", 5))
        return strncmp(head, "GET /v1/models", 14) && strncmp(head, "GET /health", 11)
            ? send_all(c, missing, sizeof missing - 1) : send_all(c, models, sizeof models - 1);
    long tokens = number_after(body, "\"max_tokens\"");
    if (tokens < 0) tokens = number_after(body, "\"max_completion_tokens\"");
    if (tokens < 1) tokens = default_tokens;
    c->tokens = tokens > TOKENS_MAX ? TOKENS_MAX : (int)tokens;
    c->kind = strncmp(head, "POST /v1/completions", 20) ? KIND_CHAT : KIND_TEXT;
    c->streaming = is_true(body, "\"stream\"");
    c->sent_chunks = 0;
    c->truth = (Truth){.received_ns = received_ns, .first_ns = -1, .second_ns = -1, .last_ns = -1};
    const char *id = header(head, "\r\nX-Request-ID:");
    for (int i = 0; id && i < ID_MAX && id[i] > ' ' && id[i] != ','; i++) c->truth.id[i] = id[i];
    if (!ttft_ns && (!itl_ns || !c->streaming)) return answer_whole(c);
    if (c->streaming && itl_ns) {
        const Buffer *start = head_of(c->kind);
        if (!send_all(c, start->data, start->size)) return false;
    }
    c->due_ns = received_ns + ttft_ns;
    heap_add(c);
    return true;
}

/* Take every whole request in the buffer. */
static void take_requests(Connection *c, int64_t received_ns) {
    int fd = c->fd;
    size_t at = 0;
    while (at < c->in.size) {
        char *head = c->in.data + at;
        char *end = strstr(head, "\r\n\r\n");
        if (!end) break;
        char after_head = end[2];
        end[2] = 0; /* headers are searched up to here */
        long length = 0;
        const char *value = header(head, "\r\nContent-Length:");
        if (value) length = strtol(value, NULL, 10);
        size_t size = (size_t)(end - head) + 4 + (size_t)length;
        if (length < 0 || size > REQUEST_MAX) {
            close_connection(c);
            return;
        }
        if (at + size > c->in.size) {
            end[2] = after_head;
            break;
        }
        char *body = end + 4, kept = body[length];
        body[length] = 0;
        if (!serve(c, head, body, received_ns) || connections[fd] != c) return;
        body[length] = kept;
        at += size;
    }
    if (at) {
        memmove(c->in.data, c->in.data + at, c->in.size - at + 1);
        c->in.size -= at;
    }
}

static int64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec - wall_offset_ns;
        }
    return now_ns();
}

static void read_connection(Connection *c) {
    static char data[65536];
    char control[128];
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(c->fd, &message, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0 || c->in.size + (size_t)size > REQUEST_MAX) {
        close_connection(c);
        return;
    }
    append(&c->in, data, (size_t)size);
    take_requests(c, stamp_of(&message));
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= CONNECTIONS_MAX) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
        Connection *c = calloc(1, sizeof *c);
        if (!c) fail("calloc");
        c->fd = fd;
        c->heap_at = -1;
        connections[fd] = c;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }
}

static void write_truth(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) fail(path);
    fputs("x_request_id,received_ns,first_send_ns,second_send_ns,last_send_ns,chunks\n", file);
    for (size_t i = 0; i < truth_count; i++) {
        const Truth *t = &truths[i];
        fprintf(file, "%s,%lld,%lld,%lld,%lld,%d\n", t->id, (long long)t->received_ns,
                (long long)t->first_ns, (long long)t->second_ns, (long long)t->last_ns, t->chunks);
    }
    if (fclose(file)) fail(path);
}

static int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void add_source(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void serve_until(int listener, int signal_fd) {
    struct epoll_event events[EVENTS_MAX];
    int64_t sampled_ns = 0;
    for (;;) {
        arm_timer();
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, 1000);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        int64_t now = now_ns();
        if (now - sampled_ns > 100000000) {
            sample_offset();
            sampled_ns = now;
        }
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == signal_fd) return;
            if (fd == listener) accept_all(listener);
            else if (fd == timer_fd) drain_timer();
            else {
                Connection *c = connections[fd];
                if (c && events[i].events & EPOLLOUT && c->out_size && !drain_output(c)) continue;
                if (c && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_connection(c);
            }
        }
        run_deadlines();
    }
}

int main(int argc, char **argv) {
    const char *truth = NULL;
    int port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--ttft-ms")) ttft_ns = (int64_t)(atof(argv[i + 1]) * 1e6);
        else if (!strcmp(argv[i], "--itl-ms")) itl_ns = (int64_t)(atof(argv[i + 1]) * 1e6);
        else if (!strcmp(argv[i], "--tokens")) default_tokens = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--truth")) truth = argv[i + 1];
        else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
    }
    if (default_tokens < 1 || default_tokens > TOKENS_MAX) default_tokens = 128;
    keep_truth = truth != NULL;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < CONNECTIONS_MAX ? files.rlim_max : CONNECTIONS_MAX;
    setrlimit(RLIMIT_NOFILE, &files);
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    sample_offset();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int signal_fd = signalfd(-1, &stops, SFD_CLOEXEC);
    if (epoll_fd < 0 || timer_fd < 0 || signal_fd < 0) fail("epoll, timerfd or signalfd");
    int listener = listen_on(port);
    add_source(listener);
    add_source(timer_fd);
    add_source(signal_fd);
    serve_until(listener, signal_fd);
    if (truth) write_truth(truth);
    return 0;
}
