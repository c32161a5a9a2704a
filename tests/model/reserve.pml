/* The group's reservation (docs/GROUP.md, throttling/group_history.h) with what may go wrong:
 * agents that crash anywhere and come back, answers that are lost, requests that arrive after they
 * were given up, leases that lapse, deadlines that pass, an etcd that does not answer.
 *
 * Checked: never more than LIMIT effects, and never two at once. tests/model_test.py runs it.
 * -DSPLIT seeds a mistake, the check and the write in two steps; -DLEASE_ONLY another, a slot that
 * is free when its lease lapses, although its deadline is not over; -DFORGETS a third, that this
 * model found in the first design: a reservation that is taken back is forgotten also by those who
 * were judged while it stood. All must be found.
 */
#ifndef LIMIT
#define LIMIT 1
#endif
#define SERVERS 3
#ifndef ASKS
#define ASKS 1
#endif
#define ATTEMPTS 3 /* SERVERS * ASKS */
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOST
#define LOST 1
#endif
#ifndef LATE
#define LATE 1
#endif
#ifndef OUTAGES
#define OUTAGES 1
#endif
#define SERVER(a) ((a) / ASKS)

/* What etcd holds, by attempt. A revision of 0: not there. */
byte created[ATTEMPTS];
byte finished[ATTEMPTS];  /* The last revision before its end, */
byte over[ATTEMPTS];      /* and before its deadline passed: what is created later sees them. */
byte withdrawn[ATTEMPTS]; /* The last revision before it was taken back: what is created later does
                           * not see it; what was created before saw it and goes on seeing it. */
bool ghost[ATTEMPTS];     /* Was taken back before it ever arrived. */
bool ran[ATTEMPTS];       /* Ended by an asker who knew that it was granted. */
bool running[ATTEMPTS];   /* Its running key, */
bool held[ATTEMPTS];      /* and that is under a living lease. */
byte revision; /* Counts creations only: they are what order is about. */

/* What happens on the servers. */
bool acting[ATTEMPTS];
byte effects;
bool in_ledger[ATTEMPTS];
byte arriving[SERVERS]; /* A request that was given up, and arrives all the same: attempt + 1. */
byte crashes, lost, late, outages; /* How many there were. */

/* Scratch of `judge`; 0 between the steps. */
hidden byte counts[ATTEMPTS];
hidden byte r, e, j, c;
hidden byte busy;

#ifdef FORGETS
#define SEES(r, j) (withdrawn[j] == 0)
#else
#define SEES(r, j) (!(withdrawn[j] != 0 && withdrawn[j] < r))
#endif

/* Everyone folds the limits over the attempts in order of creation. */
inline judge(a, allowed) {
  e = 0;
  do
  :: e < ATTEMPTS -> counts[e] = false; e++
  :: else -> break
  od;
  r = 1;
  do
  :: r <= created[a] ->
     e = 0;
     do
     :: e < ATTEMPTS && created[e] != r -> e++
     :: else -> break
     od;
     if
     :: e < ATTEMPTS && !ghost[e] ->
        if
        :: ran[e] && e != a -> counts[e] = true
        :: else ->
           c = 0; busy = false; j = 0;
           do
           :: j < ATTEMPTS ->
              if
              :: counts[j] && SEES(r, j) ->
                 c++;
                 if
                 :: SERVER(j) != SERVER(e) && !(finished[j] != 0 && finished[j] < r) &&
#ifdef LEASE_ONLY
                    held[j]
#else
                    (!(over[j] != 0 && over[j] < r) || held[j])
#endif
                    -> busy = true
                 :: else
                 fi
              :: else
              fi;
              j++
           :: else -> break
           od;
           counts[e] = (c < LIMIT && !busy)
        fi
     :: else
     fi;
     r++
  :: else -> break
  od;
  allowed = counts[a];
  r = 0; e = 0; j = 0; c = 0; busy = false;
}

/* The one transaction: put it unless it is there. */
inline put(a) {
  if
  :: created[a] == 0 ->
     revision++; created[a] = revision; running[a] = true; held[a] = true
  :: else
  fi
}

inline finish(a) {
  if
  :: created[a] != 0 && finished[a] == 0 && withdrawn[a] == 0 -> finished[a] = revision
  :: else
  fi;
  running[a] = false; held[a] = false
}

inline mark_withdrawn(a) {
  if
  :: created[a] == 0 -> revision++; created[a] = revision; ghost[a] = true
  :: else
  fi;
  withdrawn[a] = revision; running[a] = false; held[a] = false
}

inline delete_attempt(a) { created[a] = 0; running[a] = false; held[a] = false }

proctype Server(byte s) {
  byte k, a;
  bool allowed, repeated;

next:
  skip;
  if
  :: k == ASKS -> goto done
  :: d_step { k < ASKS -> a = s * ASKS + k; repeated = false; allowed = false }
  fi;

ask:
  skip;
  if
#ifdef SPLIT
  /* The mistake: looks as if it had put, judges, and takes the look back. */
  :: d_step { put(a); judge(a, allowed); delete_attempt(a); revision-- };
     if
     :: allowed -> d_step { put(a) }
     :: !allowed
     fi
#else
  :: d_step { put(a); judge(a, allowed) }
  /* Another's mark is there: it puts nothing, looks, and is refused or asks again and insists. That
   * the mark is there is left out: whoever may look at any time does more, not less. */
  :: d_step {
       created[a] == 0 ->
       put(a); judge(a, allowed); delete_attempt(a); revision-- };
     if
     :: allowed -> allowed = false; goto ask
     :: !allowed && repeated -> goto withdraw
     :: d_step { !allowed && !repeated -> k++ } -> goto next
     fi
#endif
  /* It was done, but nobody hears of it. */
  :: atomic { lost < LOST -> lost++; d_step { put(a) }; repeated = true };
     if
     :: goto ask
     :: goto give_up
     fi
  /* It is on its way for long. */
  :: atomic { late < LATE && arriving[s] == 0 -> late++; arriving[s] = a + 1; repeated = true };
     if
     :: goto ask
     :: goto give_up
     fi
  /* It does not answer, and nothing was sent. */
  :: atomic { outages < OUTAGES -> outages++ } -> goto give_up
  :: atomic { crashes < CRASHES -> crashes++ } -> goto crashed
  fi;

  if
  :: !allowed -> goto withdraw
  :: allowed
  fi;

  if
  :: atomic { crashes < CRASHES -> crashes++ } -> goto crashed
  :: in_ledger[a] = true
  fi;
  /* The effect; the agent kills it at its deadline. */
  if
  :: atomic { crashes < CRASHES -> crashes++ } -> goto crashed
  :: d_step {
       over[a] == 0 ->
       effects++;
       assert(effects <= LIMIT);
       j = 0;
       do
       :: j < ATTEMPTS -> assert(!acting[j]); j++
       :: else -> break
       od;
       j = 0;
       acting[a] = true }
  :: over[a] != 0 /* Too late to begin. */
  fi;
  if
  :: atomic { crashes < CRASHES -> crashes++ } -> goto crashed
  :: d_step { acting[a] = false; in_ledger[a] = false }
  fi;
  if
  :: d_step { ran[a] = true; finish(a); k++ } -> goto next
  :: atomic { crashes < CRASHES -> crashes++ } -> goto crashed
  fi;

give_up:
withdraw:
  skip;
  if
  :: d_step {
       if
       :: repeated -> mark_withdrawn(a)
       :: !repeated -> delete_attempt(a)
       fi }
  :: atomic { crashes < CRASHES -> crashes++ } -> goto crashed
  fi;
  k++;
  goto next;

crashed:
  /* All but the ledger is forgotten; the effect has ended with its agent. At the start it frees
   * what it finds of its own and does not run. */
  skip;
  d_step { acting[a] = false; in_ledger[a] = false; repeated = false; allowed = false };
  d_step {
    e = s * ASKS;
    do
    :: e < (s + 1) * ASKS ->
       if
       :: running[e] -> finish(e)
       :: else
       fi;
       e++
    :: else -> break
    od;
    e = 0; k++ };
  goto next;

done:
  skip
}

/* The world: time passes, packets arrive late. */
#define ARRIVES(s) \
  d_step { arriving[s] != 0 -> j = arriving[s] - 1; put(j); j = 0; arriving[s] = 0 }
/* A deadline passes: whoever acts is stopped. */
#define DEADLINE(a) \
  d_step { created[a] != 0 && withdrawn[a] == 0 && over[a] == 0 -> over[a] = revision; acting[a] = false }
/* A lease lapses, whether its server lives or not. */
#define LAPSES(a) d_step { held[a] -> held[a] = false }

proctype World() {
end:
  do
  :: ARRIVES(0)
  :: ARRIVES(1)
  :: ARRIVES(2)
  :: DEADLINE(0)
  :: DEADLINE(1)
  :: DEADLINE(2)
  :: LAPSES(0)
  :: LAPSES(1)
  :: LAPSES(2)
  od
}

init {
  atomic { run Server(0); run Server(1); run Server(2); run World() }
}
