#!/usr/bin/env python3
"""How many plugins a second salved runs, and how many Nagios 4 does: the same plugin, one after the
other on the same machine, each asked for less, and then for more than it can do; its best counts.

Part of ./dev bench. Both only run checks, of a monitor (salved) or a service (Nagios) each, whose state
stays good. Each writes each result down: salved as an event, Nagios as a line of performance data,
which is what counts here: its own statistics (nagios4stats) are wrong by factors at such rates.
"""

import argparse
import contextlib
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from plain import Agent

NAGIOS = "/usr/sbin/nagios4"
WINDOW = 30  # seconds that are measured

PROBE_RESULT = 4  # its channel in events.db
OUTCOMES = {1: "passed", 2: "failed", 3: "timed out", 4: "rejected"}


def nagios_configuration(folder, user, plugin, checks, interval):
    """A main file and its objects: no host checks, no notifications, nothing else to do."""
    objects = f"""
define command {{
  command_name plugin
  command_line {plugin}
}}
define command {{
  command_name nothing
  command_line /bin/true
}}
define timeperiod {{
  timeperiod_name always
  alias always
  sunday 00:00-24:00
  monday 00:00-24:00
  tuesday 00:00-24:00
  wednesday 00:00-24:00
  thursday 00:00-24:00
  friday 00:00-24:00
  saturday 00:00-24:00
}}
define contact {{
  contact_name nobody
  host_notifications_enabled 0
  service_notifications_enabled 0
  host_notification_period always
  service_notification_period always
  host_notification_options n
  service_notification_options n
  host_notification_commands nothing
  service_notification_commands nothing
}}
define host {{
  host_name here
  alias here
  address 127.0.0.1
  max_check_attempts 3
  check_period always
  active_checks_enabled 0
  notification_interval 0
  notification_period always
  contacts nobody
}}
"""
    for i in range(checks):
        objects += f"""define service {{
  host_name here
  service_description S{i}
  check_command plugin
  max_check_attempts 3
  check_interval {interval}
  retry_interval {interval}
  check_period always
  notification_interval 0
  notification_period always
  contacts nobody
}}
"""
    main = f"""
log_file={folder}/nagios.log
cfg_file={folder}/objects.cfg
object_cache_file={folder}/objects.cache
precached_object_file={folder}/objects.precache
status_file={folder}/status.dat
status_update_interval=10
nagios_user={user.pw_name}
nagios_group={user.pw_gid}
check_external_commands=0
command_file={folder}/nagios.cmd
query_socket={folder}/nagios.qh
lock_file={folder}/nagios.pid
temp_file={folder}/nagios.tmp
temp_path={folder}
check_result_path={folder}/results
state_retention_file={folder}/retention.dat
retain_state_information=0
log_rotation_method=n
use_syslog=0
log_initial_states=0
interval_length=1
service_inter_check_delay_method=s
max_service_check_spread=1
max_concurrent_checks=0
check_result_reaper_frequency=1
execute_host_checks=0
enable_notifications=0
enable_event_handlers=0
enable_flap_detection=0
check_for_updates=0
process_performance_data=1
service_perfdata_file={folder}/results.txt
service_perfdata_file_template=x
service_perfdata_file_mode=a
service_perfdata_file_processing_interval=0
service_perfdata_process_empty_results=1
check_for_orphaned_services=0
check_service_freshness=0
"""
    for name, text in {"objects.cfg": objects, "nagios.cfg": main}.items():
        with open(f"{folder}/{name}", "w") as file:
            file.write(text)
    os.mkdir(f"{folder}/results")


def wait_until(deadline, process):
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        time.sleep(0.2)


def nagios_rate(plugin, checks, interval, warm_up):
    """Results of service checks a second."""
    # It gives up the rights of root; as another user it must be told that user.
    user = pwd.getpwnam("nagios") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="salve-nagios-") as folder:
        nagios_configuration(folder, user, plugin, checks, interval)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", folder], check=True)
        with open(f"{folder}/output", "w") as output:
            nagios = subprocess.Popen([NAGIOS, f"{folder}/nagios.cfg"], stdout=output, stderr=output,
                                      stdin=subprocess.DEVNULL)
        try:
            def results():
                with open(f"{folder}/results.txt") as file:
                    return time.monotonic(), sum(1 for _ in file)
            wait_until(time.monotonic() + warm_up, nagios)
            began, before = results()
            wait_until(began + WINDOW, nagios)
            ended, after = results()
            return (after - before) / (ended - began)
        except (RuntimeError, OSError) as error:
            with open(f"{folder}/output") as output:
                raise SystemExit(f"nagios4: {error}\n{output.read()[-3000:]}")
        finally:
            nagios.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                nagios.wait(30)
            nagios.kill()
            nagios.wait()


def salved_rate(plugin, checks, interval, warm_up):
    """Looks a second that passed over the same time, and how many there were of each outcome."""
    argv = " ".join(f'command: "{word}"' for word in plugin.split())
    items = "\n".join(
        f'probe {{ name: "P{i}" interval: "{interval}s" exec {{ {argv} }} }}\n'
        f'monitor {{ name: "M{i}" probe: "P{i}" consecutive_failures {{ threshold: 3 }} }}'
        for i in range(checks))
    with Agent(f'health_set {{ name: "Load"\n{items}\n}}') as agent:
        agent.wait_for(agent.health, what="a start", timeout=60)
        wait_until(time.monotonic() + warm_up, agent.process)
        began, began_wall = time.monotonic(), time.time_ns()
        wait_until(began + WINDOW, agent.process)
        seconds, ended_wall = time.monotonic() - began, time.time_ns()
        time.sleep(1)  # Events are on disk within 100 ms.
        with contextlib.closing(sqlite3.connect(
                f"file:{agent.state}/events.db?mode=ro", uri=True, timeout=30)) as database:
            rows = database.execute("SELECT kind, count(*) FROM events WHERE time >= ? AND time < ? "
                                    "GROUP BY kind", (began_wall, ended_wall)).fetchall()
        outcomes = {OUTCOMES[kind & 0xffff]: count for kind, count in rows
                    if kind >> 16 == PROBE_RESULT}
        if int(agent.info()["EventsDropped"]):
            print("warning: events were dropped, so salved did more than is counted", file=sys.stderr)
        return outcomes.get("passed", 0) / seconds, outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", default="1000,1500,2000", help="checks a second that are asked for")
    # Nagios counts in whole seconds, and takes a part of one for none.
    parser.add_argument("--interval", type=int, default=1, help="seconds between two of a check")
    parser.add_argument("--warm-up", type=float, default=10)
    parser.add_argument("--plugin", default="/usr/lib/nagios/plugins/check_dummy 0",
                        help="without blanks in its arguments, and without what would need a shell")
    args = parser.parse_args()
    for path in [NAGIOS, args.plugin.split()[0]]:
        if shutil.which(path) is None:
            raise SystemExit(f"{path} is not installed")
    version = subprocess.run([NAGIOS, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"Nagios Core ([\d.]+)", version)
    print(f"plugin                 {args.plugin}")
    print(f"nagios                 {version[1] if version else 'unknown'}")
    best_nagios = best_salved = 0
    for rate in map(int, args.rates.split(",")):
        load = (args.plugin, rate * args.interval, args.interval, args.warm_up)
        nagios = nagios_rate(*load)
        salved, outcomes = salved_rate(*load)
        print(f"asked_for_{rate:<12} nagios {nagios:.0f} checks/s, salved {salved:.0f} checks/s "
              f"({', '.join(f'{count} {name}' for name, count in outcomes.items())})", flush=True)
        best_nagios, best_salved = max(best_nagios, nagios), max(best_salved, salved)
    print(f"nagios_checks_a_second {best_nagios:.0f}")
    print(f"salved_checks_a_second {best_salved:.0f}")
    print(f"ratio                  {best_salved / best_nagios:.2f}")
    if max(best_nagios, best_salved) > 0.95 * int(args.rates.split(",")[-1]):
        print("warning: one did all that was asked for: ask for more (--rates)", file=sys.stderr)


if __name__ == "__main__":
    main()
