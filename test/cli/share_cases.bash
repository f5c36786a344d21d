# SPDX-License-Identifier: MIT OR Apache-2.0
# kith share and kith get between two processes: what goes well, and everything that a person may meet that does not.
# Sourced behind share_lib.bash by the tests that say where the two run.
# shellcheck shell=bash disable=SC2154,SC2086

a_folder_arrives_as_it_was() {
    mixed_folder src
    share_start whole src --once || return 1
    get "$ticket" -o out
    exits 0 && same src out/src && nothing_left out || return 1
    diff <(cd src && find . -printf '%P %y %m %l\n' | sort) <(cd out/src && find . -printf '%P %y %m %l\n' | sort) || return 1
    diff <(cd src && find . -type f -printf '%P %T@\n' | sort) <(cd out/src && find . -type f -printf '%P %T@\n' | sort) || return 1
    [ "$(stat -c %Y src/sub/deep)" = "$(stat -c %Y out/src/sub/deep)" ] || { echo "    a folder's time is wrong"; return 1; }
    grep -q 'post-quantum (/kith/noise-mlkem768' "$work/get.out" && grep -q ", lan, " "$work/get.out" || return 1
    wait "$share_pid"; [ $? -eq 0 ] || { echo "    the sharer did not end well"; return 1; }
}

a_share_string_admits_and_another_key_does_not() {
    local string other
    echo content >f
    KITH_HOME=$work/home-string $here "$kith" share --share-string --listen "$listen" f --once >"$work/string" 2>"$work/string.err" </dev/null &
    share_pid=$!
    pids+=("$share_pid")
    wait_until 20 test -s "$work/string" || { cat "$work/string.err"; return 1; }
    string=$(head -n 1 "$work/string")
    other=$(python3 -c 'import base64, json, sys
s = json.loads(base64.urlsafe_b64decode(sys.argv[1] + "==="))
s["encryption_key"] = base64.b64encode(bytes(32)).decode()
print(base64.b64encode(json.dumps(s).encode()).decode())' "$string") || return 1
    get "$other" -o out
    exits 5 && [ ! -e out/f ] || return 1
    get "$string" -o out
    exits 0 && same f out/f || return 1
    get "${string:0:200}" -o out2
    exits 11 && said "share string" || return 1
    wait "$share_pid"; [ $? -eq 0 ] || { echo "    the sharer did not end well"; return 1; }
}

several_paths_and_dots_get_their_names() {
    mkdir -p one/two; echo 1 >one/f; echo 2 >one/two/g; echo 3 >h
    (cd one/two && share_start dots . ../f ../../h && get "$ticket" -o ../../out && exits 0 && share_stop) || return 1
    [ "$(cat out/two/g out/f out/h)" = "$(printf '2\n1\n3')" ]
}

the_umask_is_kept() {
    mkdir src; echo x >src/open; chmod 777 src/open src
    share_start umask src || return 1
    (umask 027; get "$ticket" -o out; exits 0) || return 1
    [ "$(stat -c %a out/src/open) $(stat -c %a out/src)" = "750 750" ] || { stat -c '    %a %n' out/src out/src/open; return 1; }
}

an_existing_file_is_not_touched() {
    mkdir -p src out/src; echo new >src/a; echo new >src/b; echo old >out/src/b; echo mine >out/src/c
    share_start exists src || return 1
    get "$ticket" -o out
    exits 9 && said "'src/b' is there already" && said --overwrite && nothing_left out || return 1
    [ "$(cat out/src/b) $(ls out/src | tr '\n' ' ')" = "old b c " ] || return 1
    get "$ticket" -o out --skip
    exits 0 && [ "$(cat out/src/a out/src/b out/src/c | tr '\n' ' ')" = "new old mine " ] || return 1
    rm out/src/a
    get "$ticket" -o out --rename
    exits 0 && same src "out/src (2)" && [ "$(cat out/src/b)" = old ] && [ ! -e out/src/a ] || return 1
    get "$ticket" -o out --rename
    exits 0 && same src "out/src (3)" || return 1
    get "$ticket" -o out --overwrite
    exits 0 && [ "$(cat out/src/a out/src/b out/src/c | tr '\n' ' ')" = "new new mine " ] && nothing_left out
}

a_link_in_the_way_is_never_followed() {
    mkdir -p src out outside; echo evil >src/f; ln -s "$PWD/outside" out/src
    share_start inway src || return 1
    get "$ticket" -o out
    exits 9 && [ -z "$(ls outside)" ] || return 1
    get "$ticket" -o out --overwrite
    exits 9 && [ -z "$(ls outside)" ] && [ -L out/src ] || return 1
    rm out/src; mkdir out/src; echo keep >outside/target; ln -s "$PWD/outside/target" out/src/f
    get "$ticket" -o out
    exits 9 || return 1
    get "$ticket" -o out --overwrite
    exits 0 && [ "$(cat outside/target)" = keep ] && [ ! -L out/src/f ] && [ "$(cat out/src/f)" = evil ]
}

a_partial_folder_that_is_a_link_is_refused() {
    mkdir -p src out outside; echo x >src/f; ln -s "$PWD/outside" out/.kith-partial
    share_start partial src || return 1
    get "$ticket" -o out
    exits 10 && [ -z "$(ls outside)" ] && [ ! -e out/src ]
}

a_ticket_with_one_wrong_character_is_named_so() {
    echo x >f; share_start ticket f || return 1
    local i bad
    for i in 3 8 60 $((${#ticket} - 1)); do
        bad=${ticket:0:i}$([ "${ticket:i:1}" = A ] && echo B || echo A)${ticket:i+1}
        get "$bad" -o out
        exits 11 && [ ! -e out ] || return 1
    done
    said "copy it again" || return 1
    i=50 # a line that was broken in two, and not so that the second half looks like an option
    while [ "${ticket:i:1}" = - ]; do i=$((i + 1)); done
    get "${ticket:0:i}" "${ticket:i}" -o out
    exits 0 || return 1
    printf '%s\n' "$ticket" >line
    KITH_HOME=$work/home-get $there "$kith" get - -o out2 -y <line >/dev/null 2>&1 || { echo "    not from stdin"; return 1; }
}

a_sharer_that_is_gone_is_named_so() {
    echo x >f; share_start gone f || return 1
    share_stop
    [ "$share_code" -eq 0 ] || { echo "    share ended with $share_code"; return 1; }
    get "$ticket" -o out
    exits 4 && said "cannot reach the sharer" && [ ! -e out ]
}

another_share_of_the_same_peer_is_refused() {
    echo x >f; echo y >g
    share_start reused f --json || return 1
    local first addr
    first=$(sed -n 's/.*"ticket": *"\(kith1[^"]*\)".*/\1/p' "$work/reused.ticket")
    addr=$(sed -n 's/.*"addrs": *\["\([^"]*\)".*/\1/p' "$work/reused.ticket")
    share_stop
    rm "$work/reused.ticket"
    KITH_HOME=$work/home-reused $here "$kith" share --ticket --listen "$addr" g >"$work/reused.ticket" 2>"$work/reused.err" </dev/null &
    pids+=($!)
    wait_until 10 test -s "$work/reused.ticket" || { cat "$work/reused.err"; return 1; }
    get "$first" -o out # the old ticket at the same peer and port
    exits 5 && said "no such share" && [ ! -e out ]
}

a_stopped_receiver_says_how_to_go_on() {
    filler 300000000 >big; share_start stopped big || return 1
    mkdir out
    KITH_HOME=$work/home-get $there "$kith" get "$ticket" -o out -y >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 10 has_part out || return 1
    kill -INT $pid
    wait $pid; code=$?
    [ "$code" -eq 0 ] && { echo "    it was too quick to be stopped"; return 0; }
    exits 130 && [ "$(ls -A out)" = .kith-partial ] || return 1
    said "stopped; what came is kept" && said "goes on from there" && said "'kith get --discard -o out'" || return 1
    wait_until 5 grep -q "stopped on the other side" "$work/stopped.err" || { cat "$work/stopped.err"; return 1; }
    get "$ticket" -o out # and again
    exits 0 && cmp big out/big && nothing_left out && grep -q "from before" "$work/get.out" || { cat "$work/get.out"; return 1; }
}

what_was_kept_can_be_discarded() {
    filler 150000000 >big; share_start discarded big || return 1
    mkdir out
    # A home of its own, in which it may be suspended in the middle of writing.
    KITH_HOME=$work/home-held $there "$kith" get "$ticket" -o out -y >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 10 has_part out || return 1
    kill -STOP $pid # it holds its folder
    get "$ticket" -o out
    exits 7 && said "another kith is fetching this share" || return 1
    KITH_HOME=$work/home-get $there "$kith" get --discard -o out >"$work/get.out" 2>"$work/get.err"; code=$?
    exits 7 && said "in use" && has_part out || return 1
    kill -INT $pid; kill -CONT $pid
    wait $pid; code=$?
    [ "$code" -eq 0 ] && { echo "    it was too quick to be stopped"; return 0; }
    KITH_HOME=$work/home-get $there "$kith" get --discard -o out >"$work/get.out" 2>"$work/get.err"; code=$?
    exits 0 && grep -q "partial content of 1 share removed" "$work/get.out" && [ -z "$(ls -A out)" ]
}

two_sharers_of_the_same_share_the_work() {
    filler 60000000 >big; mkdir one two; cp -p big one/; cp -p big two/
    cd one && share_start twin1 big && cd .. || return 1 # not in a subshell, whose processes nobody ends
    local first=$(head -n 1 "$work/twin1.ticket")
    cd two && share_start twin2 big && cd .. || return 1
    local second=$(head -n 1 "$work/twin2.ticket")
    get "$first" --also "$second" -o out --json
    exits 0 && cmp big out/big && grep -qF '"event":"source"' "$work/get.out" || { cat "$work/get.out"; return 1; }
    printf x | dd of=two/big bs=1 seek=1000000 conv=notrunc 2>/dev/null; touch -r big two/big
    cd two && share_start twin3 big && cd .. || return 1 # the same list, and other content
    get "$first" --also "$(head -n 1 "$work/twin3.ticket")" -o out2 --json
    exits 0 && cmp big out2/big || { cat "$work/get.out"; return 1; }
    get "$first" --also "$(head -n 1 "$work/twin3.ticket")" -o out4
    exits 0 && [ "$(grep -c "^also from" "$work/get.err")" -le 1 ] || { cat "$work/get.err"; return 1; } # the first is said already
    get "$first" --also "$first" -o out3
    exits 0 && said "same peer"
}

what_a_share_is_is_for_the_first_ticket_to_say() {
    echo right >right; echo wrong >wrong
    share_start leader right || return 1
    local leader=$share_pid
    share_start other wrong || return 1
    kill -STOP "$leader" # the other one is the first to offer something
    KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$(head -n 1 "$work/leader.ticket")" \
        --also "$(head -n 1 "$work/other.ticket")" -o out -y --json >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 20 grep -qF '"event":"connected"' "$work/get.out" || { kill -CONT "$leader"; cat "$work/get.out"; return 1; }
    sleep 0.3 # by now it has; sooner or later the outcome is the same
    kill -CONT "$leader"
    wait $pid; code=$?
    exits 0 && same right out/right && [ ! -e out/wrong ] && grep -qF "not what others offer" "$work/get.out" || { cat "$work/get.out"; return 1; }
}

a_file_that_the_last_sharer_cannot_give_is_lost() {
    mkdir -p one/src; filler 30000000 >one/src/a; filler 2000000 >one/src/f; cp -a one two
    cd one && share_start lost1 src && share_read lost1 && cd .. || return 1
    cd two && share_start lost2 src --limit 64K/ && cd .. || return 1
    local slow=$share_pid
    echo more >>one/src/f
    KITH_HOME=$work/home-get $there "$kith" get "$(head -n 1 "$work/lost1.ticket")" \
        --also "$(head -n 1 "$work/lost2.ticket")" -o out -y --json >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 20 grep -qF '"bytes":30000000' "$work/get.out" || { cat "$work/get.out"; return 1; }
    ! grep -q kith1 "/proc/$pid/cmdline" || { echo "    a ticket is in sight of others"; return 1; }
    kill -9 $slow
    wait $pid; code=$?
    exits 13 && cmp one/src/a out/src/a && [ ! -e out/src/f ]
}

a_part_of_a_share_can_be_fetched() {
    mkdir -p src/a/b src/c; echo 1 >src/a/one.txt; echo 2 >src/a/b/two.pdf; echo 3 >src/c/three.pdf; echo 4 >src/four.raw
    share_start selected src || return 1
    get "$ticket" -o out --only '*.pdf' --exclude 'src/c/'
    exits 0 && [ "$(cd out && find . -type f)" = ./src/a/b/two.pdf ] && [ ! -e out/src/c ] || { find out; return 1; }
    get "$ticket" -o out # the rest: what is there is not fetched
    exits 0 && same src out/src && grep -q "there already" "$work/get.out" || return 1
    get "$ticket" -o out3 --only 'nothing*'
    exits 1 && said "nothing of the share is wanted" && [ ! -e out3 ] || return 1
    get "$ticket" -o out3 --only '[a'
    exits 2 && said "its [ has no ]"
}

a_ticket_can_be_for_a_part() {
    mkdir -p src/a src/b; echo 1 >src/a/one; echo 2 >src/a/two.pdf; echo 3 >src/b/three.pdf; echo 4 >src/b/four
    share_start parted src || return 1
    local all=$ticket
    more() { KITH_HOME=$work/home-parted $here "$kith" shares ticket "$@" 2>"$work/get.err"; }
    ticket=$(more $share_pid --only a/ --only '*.pdf' --times 1)
    get "$ticket" -o out --only 'src/a/' # of what it is for
    exits 0 && [ "$(cd out && find . -type f | sort | tr '\n' ' ')" = "./src/a/one ./src/a/two.pdf " ] || { find out; return 1; }
    get "$ticket" -o out2
    exits 5 && said "fetched as often as it may be" || return 1
    get "$(more $share_pid --only '*.pdf' --for 2h)" -o out3
    exits 0 && [ "$(cd out3 && find . -type f | sort | tr '\n' ' ')" = "./src/a/two.pdf ./src/b/three.pdf " ] || return 1
    get "$(more $share_pid --only 'nothing')" -o out4
    exits 1 && said "for a part of the share in which there is nothing" || return 1
    get "$(more $share_pid --for 1s)" -o out5 # it is read at once, and soon too late
    exits 0 && same src out5/src || return 1
    more $share_pid --only '[a' && return 1
    grep -qF "its [ has no ]" "$work/get.err" || return 1
    more 1 && return 1
    grep -qF "there is no transfer 1" "$work/get.err" || return 1
    get "$all" -o out6
    exits 0 && same src out6/src
}

a_killed_receiver_and_a_new_sharer_go_on() {
    mkdir src; head -c 200000000 /dev/urandom >src/big; seq 5000 >src/numbers
    share_start first src || return 1
    KITH_HOME=$work/home-get $there "$kith" get "$ticket" -o out -y >/dev/null 2>&1 </dev/null &
    local pid=$!
    wait_until 10 has_list out # the first second is in the journal
    kill -9 $pid; wait $pid 2>/dev/null
    share_stop
    share_start second src || return 1
    get "$ticket" -o out
    exits 0 && same src out/src && nothing_left out || return 1
    grep -q "from before" "$work/get.out" || echo "    it was too quick to be stopped"
}

killed_ten_times_it_arrives_intact() {
    mkdir src; head -c 100000000 /dev/urandom >src/big; seq 20000 | split -l 100 - src/small
    share_start kills src || return 1
    local i pid
    for i in $(seq 10); do
        KITH_HOME=$work/home-get $there "$kith" get "$ticket" -o out -y >/dev/null 2>"$work/get.err" </dev/null &
        pid=$!
        wait_until 10 test -e out/.kith-partial
        sleep "0.0$((RANDOM % 90 + 10))"
        if [ $((i % 3)) -eq 0 ]; then
            kill -9 "$share_pid"; wait "$share_pid" 2>/dev/null
            wait $pid
            share_start "kills$i" src || return 1
        else
            kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
        fi
    done
    get "$ticket" -o out
    exits 0 && same src out/src && nothing_left out
}

# says FIELD: a number of the last line that kith get --json said. came: bytes of content that crossed.
says() { grep '"event":"done"' "$work/get.out" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
came() { grep '"event":"done"' "$work/get.out" | grep -o '"from":.*' | grep -o '"bytes":[0-9]*' | awk -F: '{ n += $2 } END { print n + 0 }'; }
# change FILE LEAF: some bytes in it, which random ones are not by chance.
change() { printf 'changed!' | dd of="$1" bs=1 seek=$(($2 * 262144 + 7)) conv=notrunc 2>/dev/null; }

an_older_version_is_overwritten_by_what_has_changed() {
    head -c 30000000 /dev/urandom >big; mkdir -p out out2 out3; cp big out/big; cp big out2/big; cp big out3/big
    change big 3; change big 50; change big 114 # the last one, which is short
    share_start newer big || return 1
    get "$ticket" -o out --overwrite --json
    exits 0 && cmp big out/big && nothing_left out || return 1
    [ "$(came)" -eq $((2 * 262144 + 30000000 % 262144)) ] && [ "$(says here)" -eq $((30000000 - $(came))) ] || { cat "$work/get.out"; return 1; }
    share_stop
    head -c 2000000 /dev/urandom >>big
    share_start longer big || return 1
    get "$ticket" -o out --overwrite
    exits 0 && cmp big out/big && grep -q "28.5 MiB of it from before" "$work/get.out" || { cat "$work/get.out"; return 1; }
    share_stop
    truncate -s 10000000 big
    share_start shorter big || return 1
    get "$ticket" -o out --overwrite --json
    exits 0 && cmp big out/big && [ "$(came)" -eq 0 ] || { cat "$work/get.out"; return 1; }
    get "$ticket" -o out2 --skip # what is kept, or has another name, is nothing to begin from
    exits 0 && [ "$(stat -c %s out2/big)" -eq 30000000 ] || return 1
    get "$ticket" -o out3 --rename --json
    exits 0 && cmp big "out3/big (2)" && [ "$(came)" -eq 10000000 ]
}

what_was_fetched_of_an_older_version_is_kept() {
    head -c 40000000 /dev/urandom >big; mkdir out
    share_start before big --limit 8M/ || return 1
    KITH_HOME=$work/home-held $there "$kith" get "$ticket" -o out -y >/dev/null 2>"$work/get.err" </dev/null &
    local pid=$! had old
    wait_until 20 has_list out || { cat "$work/get.err"; return 1; } # the first second is in the journal
    kill -9 $pid; wait $pid 2>/dev/null
    share_stop
    had=$(du --block-size=1 out/.kith-partial/*/0.part | cut -f1) old=$(ls out/.kith-partial)
    change big 1; echo more >>big
    share_start after big --limit 8M/ || return 1
    KITH_HOME=$work/home-held $there "$kith" get "$ticket" -o out -y >/dev/null 2>"$work/get.err" </dev/null &
    pid=$!
    wait_until 20 test ! -e "out/.kith-partial/$old" || return 1 # it has taken over what there was
    kill -9 $pid; wait $pid 2>/dev/null
    get "$ticket" -o out --json
    exits 0 && cmp big out/big && nothing_left out || return 1
    [ "$(($(came) + had))" -le 41500000 ] || { echo "    $had bytes were there, and $(came) came"; return 1; }
}

older_content_that_changes_meanwhile_is_fetched() {
    head -c 13107200 /dev/urandom >big; mkdir out; cp big out/big
    local i pid
    for i in $(seq 0 11); do change big $i; done # 3 s, in which the rest is not yet asked for, or not answered
    share_start meanwhile big --limit 1M/ || return 1
    KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$ticket" -o out -y --overwrite --json >"$work/get.out" 2>"$work/get.err" </dev/null &
    pid=$!
    wait_until 20 has_part out || return 1
    change out/big 30; truncate -s 13000000 out/big
    wait $pid; code=$?
    exits 0 && cmp big out/big && nothing_left out || return 1
    [ "$(came)" -ne $((12 * 262144)) ] || { echo "    it was too quick"; return 0; }
    [ "$(came)" -eq $((14 * 262144)) ] && [ "$(says here)" -eq $((13107200 - 14 * 262144)) ] || { cat "$work/get.out"; return 1; }
}

an_overwriting_fetch_that_is_killed_goes_on() {
    head -c 26214400 /dev/urandom >big; mkdir out; cp big out/big; cp big older
    local i pid
    for i in $(seq 2 2 80); do change big $i; done # 40 of 100
    share_start killed big --limit 4M/ || return 1
    for i in 1 2; do
        KITH_HOME=$work/home-held $there "$kith" get "$ticket" -o out -y --overwrite >/dev/null 2>"$work/get.err" </dev/null &
        pid=$!
        wait_until 20 has_list out || { cat "$work/get.err"; return 1; }
        kill -9 $pid; wait $pid 2>/dev/null
        cmp older out/big || return 1 # it is replaced when all is here
    done
    share_stop
    share_start again big || return 1
    get "$ticket" -o out --overwrite --json
    exits 0 && cmp big out/big && nothing_left out && [ "$(came)" -le $((40 * 262144)) ] && [ "$(says here)" -eq $((26214400 - $(came))) ] || { cat "$work/get.out"; return 1; }
}

a_killed_receiver_can_start_again() {
    filler 300000000 >big; share_start rkill big || return 1
    KITH_HOME=$work/home-get $there "$kith" get "$ticket" -o out -y >/dev/null 2>&1 </dev/null &
    local pid=$!
    wait_until 10 test -e out/.kith-partial || return 1
    kill -9 $pid; wait $pid 2>/dev/null
    get "$ticket" -o out
    exits 0 && cmp big out/big && nothing_left out
}

a_killed_sender_is_reported() {
    filler 400000000 >big; share_start skill big || return 1
    KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$ticket" -o out -y >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 10 test -e out/.kith-partial || return 1
    kill -9 "$share_pid"; wait "$share_pid" 2>/dev/null
    wait $pid; code=$?
    [ "$code" -eq 0 ] && { echo "    it was too quick to be killed"; return 0; }
    exits 6 && said "lost" && said "fetch again" && [ ! -e out/big ]
}

a_sender_that_stops_is_reported() {
    filler 400000000 >big; share_start sstop big || return 1
    KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$ticket" -o out -y >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 10 test -e out/.kith-partial || return 1
    share_stop
    wait $pid; code=$?
    [ "$code" -eq 0 ] && { echo "    it was too quick to be stopped"; return 0; }
    exits 6 && said "stopped on the other side" && [ ! -e out/big ]
}

a_full_disk_is_reported() {
    mkdir "$work/full"
    mount -t tmpfs -o size=8m tmpfs "$work/full" 2>/dev/null || { echo "skipped: a full disk is reported: no right to mount a tmpfs"; return 77; }
    filler 20000000 >big; share_start full big || return 1
    get "$ticket" -o "$work/full"
    exits 10 && said "has no room for it" && said "make room" && [ -z "$(ls -A "$work/full")" ] || return 1
    share_stop
    # one that fills up after the survey: inodes are not counted
    umount "$work/full"; mount -t tmpfs -o size=64m,nr_inodes=50 tmpfs "$work/full" || return 1
    mkdir many; for i in $(seq 100); do echo "$i" >"many/$i"; done
    share_start full2 many || return 1
    get "$ticket" -o "$work/full"
    exits 10 && said "No space left" && said "make room" && [ "$(ls -A "$work/full")" = .kith-partial ] || return 1
    mount -o remount,nr_inodes=500 "$work/full" || return 1
    get "$ticket" -o "$work/full"
    exits 0 && same many "$work/full/many" && nothing_left "$work/full" || return 1
    # a file that is larger than the disk, and takes no room
    truncate -s 1G holes; echo end >>holes
    share_start full3 holes || return 1
    get "$ticket" -o "$work/full"
    exits 0 && [ "$(stat -c %s "$work/full/holes")" -eq "$(stat -c %s holes)" ] && [ "$(tail -c 4 "$work/full/holes")" = end ]
}

a_folder_without_permission_is_reported() {
    [ "$(id -u)" -ne 0 ] || { echo "skipped: a folder without permission is reported: root may write everywhere"; return 77; }
    echo x >f; share_start noperm f || return 1
    mkdir out; chmod 500 out
    get "$ticket" -o out
    exits 10 && said "Permission denied"
}

a_file_that_changes_while_it_is_shared_is_named() {
    mkdir src; echo 1 >src/a; head -c 2000000 /dev/urandom >src/b; echo 3 >src/c; echo 4 >src/d
    share_start changed src && share_read changed || return 1
    echo more >>src/b; rm src/c; ln -s a src/c
    get "$ticket" -o out
    exits 13 && said "'src/b' cannot be fetched" && said "'src/c' cannot be fetched" && said "changed" || return 1
    get "$ticket" -o out2
    exits 13 && [ "$(grep -c "'src/b' has changed since it was shared" "$work/changed.err")" -eq 1 ] || { cat "$work/changed.err"; return 1; }
    [ "$(ls out/src | tr '\n' ' ')" = "a d " ] && nothing_left out
}

a_slow_reader_gets_everything() {
    head -c 60000000 /dev/urandom >big; share_start slow big || return 1
    KITH_HOME=$work/home-get $there "$kith" get "$ticket" -o out -y >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 10 test -e out/.kith-partial
    for _ in $(seq 12); do kill -STOP $pid 2>/dev/null; sleep 0.2; kill -CONT $pid 2>/dev/null; sleep 0.01; done
    wait $pid; code=$?
    exits 0 && cmp big out/big || return 1
    local rss
    rss=$(awk '/VmHWM/ { print $2 }' "/proc/$share_pid/status")
    [ "${rss:-0}" -lt 65536 ] || [ -n "${KITH_SANITIZED:-}" ] || { echo "    the sharer took $rss KiB"; return 1; }
}

several_receivers_at_once_and_a_count() {
    head -c 20000000 /dev/urandom >big; share_start times big --times 3 || return 1
    local p=() i
    for i in 1 2 3; do
        KITH_HOME=$work/home-get$i $there "$kith" get "$ticket" -o "out$i" -y >/dev/null 2>"err$i" </dev/null &
        p+=($!)
    done
    for i in 1 2 3; do wait "${p[i-1]}" || { cat "err$i"; return 1; }; cmp big "out$i/big" || return 1; done
    wait "$share_pid"; [ $? -eq 0 ] || return 1
}

what_cannot_be_shared_is_named() {
    local out
    try() { out=$(KITH_HOME=$work/home-try $here timeout 20 "$kith" share --listen "$listen" "$@" 2>&1 >/dev/null </dev/null); code=$?; }
    try nowhere; [ $code -eq 1 ] && [[ $out == *"nowhere: No such file"* ]] || { echo "    $out"; return 1; }
    try; [ $code -eq 2 ] || return 1
    mkdir bad; : >"bad/$(printf 'two\nlines')"
    try bad; [ $code -eq 1 ] && [[ $out == *'bad/two\nlines'*'control character'* ]] || { echo "    $out"; return 1; }
    mkdir -p x y; echo 1 >x/f; echo 2 >y/f
    try x/f y/f; [ $code -eq 1 ] && [[ $out == *"the same name"* ]] || { echo "    $out"; return 1; }
    try /; [ $code -eq 1 ] || return 1
    # left out, with a warning
    mkdir odd; mkfifo odd/fifo; ln -s /etc/passwd odd/out; ln -s ../.. odd/up; mkdir odd/.kith-partial; echo x >odd/f
    share_start odd odd --once || return 1
    for w in odd/fifo odd/out odd/up odd/.kith-partial; do
        grep -qF "left out $w:" "$work/odd.err" || { echo "    $w was not left out"; return 1; }
    done
    get "$ticket" -o out
    exits 0 && [ "$(ls -A out/odd)" = f ]
}

json_says_everything() {
    echo x >f; share_start json f --json --once || return 1
    ticket=$(sed -n 's/.*"ticket": *"\(kith1[^"]*\)".*/\1/p' "$work/json.ticket")
    get "$ticket" -o out --json
    exits 0 || return 1
    for w in '"event":"connected"' '"event":"list"' '"event":"done"' '"pq":true' '"path":"lan"' '"result":"ok"'; do
        grep -qF "$w" "$work/get.out" || { echo "    $w is missing"; cat "$work/get.out"; return 1; }
    done
    wait "$share_pid"
    grep -qF '"event":"transfer_done"' "$work/json.ticket" || return 1
    get "$ticket" -o out2 --json
    exits 4 && grep -qF '"result":"unreachable"' "$work/get.out"
}

without_a_terminal_yes_is_needed() {
    echo x >f; share_start ask f || return 1
    KITH_HOME=$work/home-get $there "$kith" get "$ticket" -o out >"$work/get.out" 2>"$work/get.err" </dev/null; code=$?
    exits 2 && said "pass -y" && [ ! -e out ]
}

what_cannot_work_is_said_before_anything_happens() {
    local me=12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA pid
    echo x >f
    get ''; exits 2 && said "is empty" || return 1
    get --output '' P7YE-G9L8-KD9V; exits 2 && said "names no folder" || return 1
    get -o not/there P7YE-G9L8-KD9V; exits 10 && said "make that first" || return 1
    get --config nowhere.ini P7YE-G9L8-KD9V -o out; exits 3 && said nowhere.ini && [ ! -e out ] || return 1
    run() { "$kith" "$@" >"$work/get.out" 2>"$work/get.err" </dev/null; code=$?; }
    export KITH_HOME=$work/home-get
    run share f --to $me --qr; exits 2 && said "goes without --words" || return 1
    run inbox --allow $me -o f; exits 9 && said "it is a file" || return 1
    [ ! -e /dev/full ] || {
        "$kith" share f --listen "$listen" --dht off --mdns off >/dev/full 2>"$work/get.err" </dev/null; code=$?
        exits 10 && said "cannot be printed" || return 1
    }
    # a code, and nowhere to look
    KITH_HOME=$work/home-strange run get P7YE-G9L8-KD9V -o out -y --dht off --mdns off --wait 1000
    exits 4 && said "nowhere to look" && said "kith share --ticket" && [ ! -e out ] || return 1
    run get P7YE-G9L8-KD9V -o - --dht off --mdns off --no-calls --wait 1000
    exits 4 && said "nowhere to look" || return 1
    # Ctrl-C before anybody was found
    "$kith" get P7YE-G9L8-KD9V -o out -y --json --dht off >"$work/get.out" 2>"$work/get.err" </dev/null &
    pid=$!
    wait_until 20 grep -q searching "$work/get.out" || return 1
    kill -INT $pid
    wait $pid; code=$?
    exits 130 && tail -n 1 "$work/get.out" | grep -qF '"event":"failed"' && [ ! -e out ] || { cat "$work/get.out"; return 1; }
}

what_cannot_be_printed_is_no_success() {
    [ -e /dev/full ] || { echo "skipped: what cannot be printed is no success: there is no /dev/full"; return 77; }
    echo x >f; share_start printed f || return 1
    local how
    for how in "" --json --sha256; do
        KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$ticket" -o "out$how" -y $how >/dev/full 2>"$work/get.err" </dev/null; code=$?
        exits 10 && said "cannot be printed" && same f "out$how/f" && nothing_left "out$how" || return 1
        # a reader who has seen enough is none of that
        KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$ticket" -o "piped$how" -y $how 2>"$work/get.err" </dev/null | true
        code=${PIPESTATUS[0]}
        exits 0 && same f "piped$how/f" || return 1
    done
}

a_home_that_cannot_be_written_is_no_obstacle() {
    [ "$(id -u)" -ne 0 ] || { echo "skipped: a home that cannot be written is no obstacle: root may write everywhere"; return 77; }
    echo x >f; share_start readonly f || return 1
    share_stop
    rm "$work/readonly.ticket"
    chmod -R a-w "$work/home-readonly"
    share_start readonly f || return 1
    get "$ticket" -o out
    exits 0 && same f out/f
}

cases=(
    a_folder_arrives_as_it_was
    several_paths_and_dots_get_their_names
    a_share_string_admits_and_another_key_does_not
    the_umask_is_kept
    an_existing_file_is_not_touched
    a_link_in_the_way_is_never_followed
    a_partial_folder_that_is_a_link_is_refused
    a_ticket_with_one_wrong_character_is_named_so
    a_sharer_that_is_gone_is_named_so
    another_share_of_the_same_peer_is_refused
    a_stopped_receiver_says_how_to_go_on
    two_sharers_of_the_same_share_the_work
    what_a_share_is_is_for_the_first_ticket_to_say
    a_file_that_the_last_sharer_cannot_give_is_lost
    a_killed_receiver_can_start_again
    a_killed_receiver_and_a_new_sharer_go_on
    a_killed_sender_is_reported
    a_sender_that_stops_is_reported
    a_full_disk_is_reported
    a_folder_without_permission_is_reported
    a_file_that_changes_while_it_is_shared_is_named
    a_slow_reader_gets_everything
    several_receivers_at_once_and_a_count
    what_cannot_be_shared_is_named
    json_says_everything
    without_a_terminal_yes_is_needed
)
# not a matter of the network between the two
local_cases=(
    what_cannot_work_is_said_before_anything_happens
    what_cannot_be_printed_is_no_success
    a_home_that_cannot_be_written_is_no_obstacle
    what_was_kept_can_be_discarded
    a_part_of_a_share_can_be_fetched
    a_ticket_can_be_for_a_part
    killed_ten_times_it_arrives_intact
    an_older_version_is_overwritten_by_what_has_changed
    what_was_fetched_of_an_older_version_is_kept
    older_content_that_changes_meanwhile_is_fetched
    an_overwriting_fetch_that_is_killed_goes_on
)
