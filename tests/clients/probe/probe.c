/* A function without any userland: one static program that speaks the Runtime API and does what its event says.

   The event is a JSON string without escapes, "VERB ARGUMENT"; the answer is a JSON string.

     echo TEXT     read PATH     list PATH     write PATH     link PATH     mode PATH
     env NAME      cwd           args          uid            mkdev PATH    chroot PATH
     mount PATH    exit CODE     fail TEXT     path PATH (follows, and says where one is by then)
*/
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char told[1 << 20], answer[1 << 16], escaped[1 << 18];

static size_t ask(const char *head, const char *body) {
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    char host[64], request[1 << 19];
    snprintf(host, sizeof host, "%s", api ? api : "127.0.0.1:9001");
    char *colon = strchr(host, ':');
    *colon = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
    inet_pton(AF_INET, host, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) exit(3);
    int length = snprintf(request, sizeof request,
                          "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", head,
                          strlen(body), body);
    for (int at = 0; at < length;) {
        ssize_t put = write(fd, request + at, length - at);
        if (put <= 0) exit(4);
        at += put;
    }
    size_t size = 0;
    ssize_t got;
    while (size < sizeof told - 1 && (got = read(fd, told + size, sizeof told - 1 - size)) > 0) size += got;
    told[size] = 0;
    close(fd);
    return size;
}

static void say(const char *text) { snprintf(answer, sizeof answer, "%s", text); }
static void errored(void) { snprintf(answer, sizeof answer, "error %d %s", errno, strerror(errno)); }

static void take_file(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return errored();
    ssize_t got = read(fd, answer, 8192);
    if (got < 0) errored();
    else answer[got] = 0;
    close(fd);
}

static void take_directory(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return errored();
    answer[0] = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (strlen(answer) + strlen(entry->d_name) + 2 < sizeof answer) {
            strcat(answer, entry->d_name);
            strcat(answer, " ");
        }
    }
    closedir(directory);
}

static void act(char *event, int count, char **values) {
    char *argument = strchr(event, ' ');
    if (argument) *argument++ = 0;
    else argument = "";
    struct stat found;
    if (!strcmp(event, "echo")) say(argument);
    else if (!strcmp(event, "read")) take_file(argument);
    else if (!strcmp(event, "list")) take_directory(argument);
    else if (!strcmp(event, "write")) {
        int fd = open(argument, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd < 0 || write(fd, "x", 1) != 1) errored();
        else say("written");
        if (fd >= 0) close(fd);
    } else if (!strcmp(event, "link")) {
        ssize_t got = readlink(argument, answer, sizeof answer - 1);
        if (got < 0) errored();
        else answer[got] = 0;
    } else if (!strcmp(event, "mode")) {
        if (lstat(argument, &found)) errored();
        else snprintf(answer, sizeof answer, "%o", found.st_mode);
    } else if (!strcmp(event, "path")) {
        if (chdir(argument) || !getcwd(answer, sizeof answer)) errored();
    } else if (!strcmp(event, "env")) {
        char *value = getenv(argument);
        say(value ? value : "(none)");
    } else if (!strcmp(event, "cwd")) {
        if (!getcwd(answer, sizeof answer)) errored();
    } else if (!strcmp(event, "args")) {
        answer[0] = 0;
        for (int number = 0; number < count; number++) {
            strcat(answer, values[number]);
            strcat(answer, "|");
        }
    } else if (!strcmp(event, "uid")) snprintf(answer, sizeof answer, "%d", geteuid());
    else if (!strcmp(event, "mkdev")) {
        if (mknod(argument, S_IFCHR | 0666, makedev(1, 3))) errored();
        else say("made");
    } else if (!strcmp(event, "chroot")) {
        if (chroot(argument)) errored();
        else say("changed");
    } else if (!strcmp(event, "mount")) {
        if (mount("none", argument, "tmpfs", 0, 0)) errored();
        else say("mounted");
    } else if (!strcmp(event, "exit")) exit(atoi(argument));
    else say("no such verb");
}

int main(int count, char **values) {
    for (;;) {
        ask("GET /2018-06-01/runtime/invocation/next", "");
        char id[64] = "", path[160], *body = strstr(told, "\r\n\r\n"), event[8192] = "";
        for (char *line = strstr(told, "\r\n"); line && line < body; line = strstr(line + 2, "\r\n"))
            if (!strncasecmp(line + 2, "lambda-runtime-aws-request-id: ", 31)) sscanf(line + 33, "%63s", id);
        if (!body || !id[0]) return 5;
        snprintf(event, sizeof event, "%s", body + 5); /* without the first quote */
        event[strcspn(event, "\"")] = 0;
        answer[0] = 0;
        if (!strncmp(event, "fail ", 5)) {
            snprintf(path, sizeof path, "POST /2018-06-01/runtime/invocation/%s/error", id);
            snprintf(escaped, sizeof escaped, "{\"errorType\":\"Probe.Failed\",\"errorMessage\":\"%s\"}", event + 5);
            ask(path, escaped);
            continue;
        }
        act(event, count, values);
        char *out = escaped;
        *out++ = '"';
        for (unsigned char *in = (unsigned char *)answer; *in; in++) {
            if (*in == '"' || *in == '\\') *out++ = '\\', *out++ = *in;
            else if (*in < 0x20 || *in > 0x7e) out += sprintf(out, "\\u%04x", *in);
            else *out++ = *in;
        }
        *out++ = '"', *out = 0;
        snprintf(path, sizeof path, "POST /2018-06-01/runtime/invocation/%s/response", id);
        ask(path, escaped);
    }
}
