/* Writes the scripts by which bash, zsh and fish complete nclip's command lines. */
#include "completion.h"

#include "help.h"
#include "nclip/cli/command.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

/* What follows `nclip` beside the commands. */
static const struct {
    const char *name, *summary;
} others[] = {
    {"help", "what nclip or a command does"},
    {"completion", "what a shell needs to complete commands and options"},
    {"--help", "show the commands"},
    {"--version", "print the version"},
};
enum { OTHERS = sizeof others / sizeof *others };

/* The blocks of all commands and of their kinds (help_shells.c). */
static int print_blocks(const struct nc_command *const *commands, const char *form)
{
    int status = NC_OK;
    for (size_t i = 0; commands && commands[i] && status == NC_OK; i++) {
        char help[16], *arguments[] = {(char *)commands[i]->name, help, NULL};
        snprintf(help, sizeof help, "--help=%s", form);
        status = commands[i]->run(2, arguments);
        if (status == NC_OK)
            status = print_blocks(commands[i]->kinds, form);
    }
    return status;
}

/* 'generate vqa'SEPARATOR'generate absence' ... */
static void print_kinds(const char *separator)
{
    const char *before = "";
    for (size_t i = 0; nc_commands[i]; i++) {
        for (size_t k = 0; nc_commands[i]->kinds && nc_commands[i]->kinds[k]; k++) {
            printf("%s'%s'", before, nc_commands[i]->kinds[k]->name);
            before = separator;
        }
    }
}

static void print_names(void)
{
    for (size_t i = 0; nc_commands[i]; i++)
        printf("%s ", nc_commands[i]->name);
}

static int print_bash(void)
{
    puts("# Completion of nclip for bash, made by `nclip completion bash`.\n"
         "_nclip()\n{\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local command=${COMP_WORDS[1]} options= words= kinds= files= value=\n"
         "    if [[ $current == = ]]; then # \"--option=\"\n"
         "        current=\n"
         "    elif [[ $option == = ]]; then # \"--option=begun\"\n"
         "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
         "    fi\n"
         "    if ((COMP_CWORD > 2)); then\n"
         "        case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in");
    fputs("        ", stdout);
    print_kinds(" | ");
    puts(") command=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" ;;\n"
         "        esac\n"
         "    elif ((COMP_CWORD == 2)); then\n"
         "        case $command in");
    for (size_t i = 0; nc_commands[i]; i++) {
        if (!nc_commands[i]->kinds)
            continue;
        printf("        %s) kinds='", nc_commands[i]->name);
        for (size_t k = 0; nc_commands[i]->kinds[k]; k++)
            printf("%s%s", k ? " " : "", nc_command_last_word(nc_commands[i]->kinds[k]));
        puts("' ;;");
    }
    fputs("        completion) kinds='bash zsh fish' ;;\n        help) kinds='", stdout);
    print_names();
    fputs("' ;;\n        esac\n    else\n        command= kinds='", stdout);
    print_names();
    for (size_t i = 0; i < OTHERS; i++)
        printf("%s%s", i ? " " : "", others[i].name);
    puts("'\n    fi\n    case $command in");
    int status = print_blocks(nc_commands, "bash");
    puts("    esac\n"
         "    [[ $value || $current == -* ]] || words+=\" $kinds\"\n"
         "    [[ $value || $current != -* ]] || words=\"$options $kinds\" files=\n"
         "    case $value in\n"
         "    folders)\n"
         "        compopt -o filenames\n"
         "        mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n"
         "        return\n"
         "        ;;\n"
         "    files) files=yes ;;\n"
         "    other) return ;;\n"
         "    esac\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "    if [[ $files ]]; then\n"
         "        compopt -o filenames\n"
         "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$current\")\n"
         "    fi\n"
         "}\n"
         "complete -F _nclip nclip");
    return status;
}

static void print_zsh_entry(const char *name, const char *summary)
{
    printf("'%s:", name);
    nc_help_print_quoted(summary, "'\\''", "\\");
    fputs("' ", stdout);
}

static int print_zsh(void)
{
    puts("#compdef nclip\n"
         "# Completion of nclip for zsh, made by `nclip completion zsh`.\n"
         "_nclip() {\n"
         "    local command=$words[2]\n"
         "    local -a arguments kinds\n"
         "    local -i skip=1");
    fputs("    kinds=(", stdout);
    for (size_t i = 0; nc_commands[i]; i++)
        print_zsh_entry(nc_commands[i]->name, nc_commands[i]->summary);
    puts(")\n"
         "    if ((CURRENT == 2)); then");
    fputs("        kinds+=(", stdout);
    for (size_t i = 0; i < OTHERS; i++)
        print_zsh_entry(others[i].name, others[i].summary);
    puts(")\n"
         "        _describe command kinds\n"
         "        return\n"
         "    fi\n"
         "    if ((CURRENT > 3)); then\n"
         "        case \"$words[2] $words[3]\" in");
    fputs("        ", stdout);
    print_kinds(" | ");
    puts(") command=\"$words[2] $words[3]\" skip=2 ;;\n"
         "        esac\n"
         "    else\n"
         "        case $command in");
    for (size_t i = 0; nc_commands[i]; i++) {
        if (!nc_commands[i]->kinds)
            continue;
        printf("        %s) kinds=(", nc_commands[i]->name);
        for (size_t k = 0; nc_commands[i]->kinds[k]; k++)
            print_zsh_entry(nc_command_last_word(nc_commands[i]->kinds[k]),
                            nc_commands[i]->kinds[k]->summary);
        puts(") ;;");
    }
    puts("        completion) kinds=(bash zsh fish) ;;\n"
         "        help) ;;\n"
         "        *) kinds=() ;;\n"
         "        esac\n"
         "        if (($#kinds)); then\n"
         "            _describe which kinds\n"
         "        fi\n"
         "    fi\n"
         "    case $command in");
    int status = print_blocks(nc_commands, "zsh");
    puts("    *) return ;;\n"
         "    esac\n"
         "    # where a kind must come, --help is offered to who asks for options\n"
         "    [[ $#arguments -gt 1 || $PREFIX == -* ]] || return\n"
         "    shift skip words\n"
         "    ((CURRENT -= skip))\n"
         "    _arguments -S : $arguments\n"
         "}\n"
         "if [[ $funcstack[1] == _nclip ]]; then\n"
         "    _nclip \"$@\"\n"
         "else # read by `source`\n"
         "    compdef _nclip nclip\n"
         "fi");
    return status;
}

static void print_fish_entry(const char *condition, const char *name, const char *summary)
{
    printf("complete -c nclip -n '%s' -a '%s' -d '", condition, name);
    nc_help_print_quoted(summary, "\\'", "\\");
    puts("'");
}

static int print_fish(void)
{
    puts("# Completion of nclip for fish, made by `nclip completion fish`.\n"
         "function __nclip_at -d 'Whether the words so far are those of this command'\n"
         "    set -l words (commandline -opc)\n"
         "    set -l command $words[2]\n"
         "    if test (count $words) -gt 2");
    fputs("        and contains -- \"$words[2] $words[3]\" ", stdout);
    print_kinds(" ");
    puts("\n"
         "        set command \"$words[2] $words[3]\"\n"
         "    end\n"
         "    test \"$command\" = \"$argv\"\n"
         "end\n"
         "function __nclip_first -d 'Whether the next word is the first behind this command'\n"
         "    set -l words (commandline -opc)\n"
         "    test (count $words) -eq 2; and test $words[2] = $argv[1]\n"
         "end\n"
         "complete -c nclip -f");
    for (size_t i = 0; nc_commands[i]; i++) {
        const struct nc_command *command = nc_commands[i];
        char first[64];
        snprintf(first, sizeof first, "__nclip_first %s", command->name);
        print_fish_entry("__fish_use_subcommand", command->name, command->summary);
        print_fish_entry("__nclip_first help", command->name, command->summary);
        for (size_t k = 0; command->kinds && command->kinds[k]; k++)
            print_fish_entry(first, nc_command_last_word(command->kinds[k]),
                             command->kinds[k]->summary);
    }
    for (size_t i = 0; i < OTHERS; i++)
        print_fish_entry("__fish_use_subcommand", others[i].name, others[i].summary);
    puts("complete -c nclip -n '__nclip_first completion' -a 'bash zsh fish'");
    return print_blocks(nc_commands, "fish");
}

int nc_completion_print(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        return print_bash();
    if (strcmp(shell, "zsh") == 0)
        return print_zsh();
    if (strcmp(shell, "fish") == 0)
        return print_fish();
    return nc_error(NC_USAGE, "completion takes bash, zsh or fish, not \"%s\"", shell);
}
