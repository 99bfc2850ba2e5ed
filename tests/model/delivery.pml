/* The delivery promise: no acknowledged message is lost, none is taken twice, order is kept.
 *
 * Names of states are those of docs/delivery.md; the steps and their order are those of
 * outer_agent/commit.py, inner_agent/stream_intake.py and inner_agent/channel_pipeline.py. What a
 * crash takes away is marked volatile; what is durable changes in one step only where the code has
 * one transaction, one rename or one fsync for it. README.md says what is left out.
 *
 * Faults are counted, so that every run ends. Where it ends, Auditor asks whether the promise was
 * kept; a sender that still waits there is an invalid end state.
 *
 * -DFAULTS=n         how many faults, of any kinds and at any steps, a run may have
 * -DON_GAP_CONTINUE  the verifier may go past a gap (on_gap = "continue"); without it, it holds
 * Planted bugs, by which the model shows that it can fail, are listed in README.md.
 */

#ifndef FAULTS
#define FAULTS 2
#endif
#if FAULTS > 3
#error "no more than 3: FILES, and what is written out for each file, suffice for them"
#endif

/* Messages 1 and 2 are channel 0's, message 3 is channel 1's. */
#define MESSAGES 3
#define CHANNELS 2
#define CHANNEL(m) ((m) == 3)
#define FIRST(c) ((c) == 0 -> 1 : 3)
#define LAST(c) ((c) == 0 -> 2 : 3)
#define BIT(m) (1 << (m))

/* Sequences begin with 1: a file a message, and one for each that is withdrawn. */
#define FILES 6
#define SEQUENCES (FILES + 2)

/* What a file holds, which is its digest too: its messages' bits, and WITHDRAWN for tombstones. */
#define WITHDRAWN 1
#define MESSAGES_OF(bytes) (((bytes) & WITHDRAWN) -> 0 : (bytes))

/* A journal's row: the message, and its id, which it has from the file that it was sealed into. */
#define ROW(m, id) ((m) | (id) << 2)
#define MESSAGE_OF(row) ((row) & 3)
#define ID_OF(row) ((row) >> 2)
#define ROWS 5
#define AT(c, place) ((c) * ROWS + (place))

mtype:outer = { starting, idle, staged, spooled, renamed, published };
mtype:verifier = { on_the_medium, verified };
mtype:pipeline = { journaled, delivering, taken };

byte faults = FAULTS;
bool is_over;                      /* nothing moves any more */

/* The senders: each sends its next message once the one before is acknowledged. */
byte sending[CHANNELS];
bool connected[CHANNELS];
byte acknowledged;                 /* what the outer has answered for */

/* The outer. */
mtype:outer outer = idle;          /* volatile */
byte received;                     /* volatile: admitted and validated, waits for the next file */
byte batch;                        /* volatile: whose senders wait for the commit under way */
byte fresh;                        /* volatile: those of the batch that are in no file yet */
byte published_up_to;              /* volatile */
byte last_sequence;                /* durable, spool.db */
byte spool[SEQUENCES];             /* durable, spool.db */
byte marked_published;             /* durable, spool.db */

/* The medium. 0 is no file. */
byte medium[SEQUENCES];
byte previous[SEQUENCES];          /* the digest that the file names as its predecessor's */

/* The verifier. */
mtype:verifier verifier = on_the_medium;  /* volatile */
byte file;                         /* volatile */
byte bytes;                        /* volatile */
byte link;                         /* volatile */
byte next_sequence = 1;            /* durable, journal.db */
byte accepted[SEQUENCES];          /* durable, journal.db: the files' digests */
byte accepted_link[SEQUENCES];     /* durable, journal.db */
byte rows[CHANNELS * ROWS];        /* durable, journal.db */
byte journal_end[CHANNELS];        /* durable, journal.db */
byte late;                         /* durable, journal.db: messages that filled a gap */

/* The replayer. */
mtype:pipeline pipeline[CHANNELS]; /* volatile */
byte cursor[CHANNELS];             /* volatile: up to here there is an outcome */
byte delivered[CHANNELS];          /* durable, delivery.db: up to here it is recorded */

/* The sinks. */
byte sink_id[MESSAGES + 1];        /* the id with which each message was taken */
byte sink_last[CHANNELS];          /* the channel's last message that was not late */

hidden byte i;
hidden byte crossed;
hidden byte place;
hidden byte row;

/* --------------------------------------------------------------------------------- senders */

proctype Sender(byte c)
{
	do
	:: d_step {
		sending[c] <= LAST(c) && !connected[c] ->
		connected[c] = true;
		received = received | BIT(sending[c]);
	}
	:: is_over && sending[c] > LAST(c) -> break
	od
}

/* An answer goes to the connection on which its message came, if that still stands. Where the
 * message waits anew, the connection is a later one. */
inline answer(messages, is_acknowledgement)
{
	for (i : 0 .. CHANNELS - 1) {
		if
		:: connected[i] && (messages & BIT(sending[i])) && !(received & BIT(sending[i])) ->
			connected[i] = false;
			sending[i] = sending[i] + is_acknowledgement;
		:: else
		fi
	}
	i = 0;
}

/* ----------------------------------------------------------------------------------- outer */

inline acknowledge(messages)
{
	acknowledged = acknowledged | (messages);
	answer(messages, 1);
}

/* What crossed or will cross has its fingerprint in the spool, and gets its receipt again. */
inline collect()
{
	crossed = 0;
	for (i : 1 .. last_sequence) {
		crossed = crossed | MESSAGES_OF(spool[i]);
	}
	i = 0;
#ifdef FORGET_FINGERPRINTS
	crossed = 0;
#endif
	batch = received;
	fresh = received & ~crossed;
	received = 0;
	crossed = 0;
}

inline spool_commit()
{
	last_sequence++;
	assert(last_sequence <= FILES);
	spool[last_sequence] = fresh;
	marked_published = published_up_to;
}

inline rename_into_place(sequence, sealed)
{
	medium[sequence] = sealed;
	previous[sequence] = spool[sequence - 1];
}

/* A full medium is met while staging: nothing has been promised, nothing is used up. */
inline tell_to_try_again()
{
	answer(fresh, 0);
	acknowledge(batch & ~fresh);
	batch = 0;
	fresh = 0;
	outer = idle;
}

/* The medium refused the file, and nobody has seen it. */
inline withdraw()
{
	spool[last_sequence] = fresh | WITHDRAWN;
	tell_to_try_again();
}

#define OUTER_REMEMBERS (connected[0] || connected[1] || received || \
	outer != idle || marked_published < published_up_to)

inline crash_outer()
{
	for (i : 0 .. CHANNELS - 1) {
		connected[i] = false;
	}
	i = 0;
	received = 0;
	batch = 0;
	fresh = 0;
	published_up_to = marked_published;
	outer = starting;
}

#define ALL_PUBLISHED (published_up_to == last_sequence)

proctype Outer()
{
end:
	do
	/* What a crash or a withdrawal left in the spool alone is published before anything else. */
	:: d_step {
		(outer == starting || outer == idle) && !ALL_PUBLISHED ->
		published_up_to++;
		rename_into_place(published_up_to, spool[published_up_to]);
	}
	:: d_step {
		outer == starting && ALL_PUBLISHED ->
		marked_published = published_up_to;
		outer = idle;
	}
	/* Housekeeping. */
	:: d_step {
		outer == idle && ALL_PUBLISHED && marked_published < published_up_to ->
		marked_published = published_up_to;
	}
	:: d_step {
		outer == idle && ALL_PUBLISHED && received ->
		collect();
		if
		:: fresh -> outer = staged
		:: else -> outer = published
		fi;
#ifdef ACK_BEFORE_SPOOL
		acknowledge(batch);
#endif
	}
#ifdef REUSE_SEQUENCE
	:: d_step {
		outer == staged ->
		rename_into_place(last_sequence + 1, fresh);
		outer = spooled;
	}
	:: d_step {
		outer == spooled ->
		spool_commit();
		outer = renamed;
	}
#else
	:: d_step {
		outer == staged ->
		spool_commit();
		outer = spooled;
	}
	:: d_step {
		outer == spooled || (outer == renamed && !medium[last_sequence]) ->
		rename_into_place(last_sequence, fresh);
		outer = renamed;
	}
#endif
	/* The directory's fsync. */
	:: d_step {
		outer == renamed && medium[last_sequence] ->
		published_up_to = last_sequence;
		outer = published;
	}
	:: d_step {
		outer == published ->
#ifdef ANSWER_NEW_ALONE
		acknowledge(fresh);
#else
		acknowledge(batch);
#endif
		batch = 0;
		fresh = 0;
		outer = idle;
	}
	od
}

/* -------------------------------------------------------------------------------- verifier */

inline read(sequence)
{
	file = sequence;
	bytes = medium[sequence];
	link = previous[sequence];
	verifier = verified;
}

/* The chain: a file fits its neighbours as far as they were accepted. */
#define FITS(sequence) \
	((sequence == 1 || !accepted[sequence - 1] || accepted[sequence - 1] == previous[sequence]) \
	 && (!accepted[sequence + 1] || accepted_link[sequence + 1] == medium[sequence]))

#define IS_NEXT(sequence) (sequence == next_sequence)
#define FILLS_A_GAP(sequence) (sequence < next_sequence && !accepted[sequence])

#define LATER_ON_MEDIUM \
	((medium[2] && next_sequence < 2) || (medium[3] && next_sequence < 3) || \
	 (medium[4] && next_sequence < 4) || (medium[5] && next_sequence < 5) || \
	 (medium[6] && next_sequence < 6))

inline journal_messages()
{
	for (i : 1 .. MESSAGES) {
		if
		:: MESSAGES_OF(bytes) & BIT(i) ->
			row = ROW(i, file);
			place = 0;
#ifndef FORGET_IDS
			do
			:: place < journal_end[CHANNEL(i)] && rows[AT(CHANNEL(i), place)] != row -> place++
			:: else -> break
			od;
#else
			place = journal_end[CHANNEL(i)];
#endif
			if
			:: place == journal_end[CHANNEL(i)] ->
				assert(place < ROWS);
				rows[AT(CHANNEL(i), place)] = row;
				journal_end[CHANNEL(i)]++;
#ifndef PASS_GAPS
				if
				:: file < next_sequence -> late = late | BIT(i)
				:: else
				fi
#endif
			:: else
			fi
		:: else
		fi
	}
	i = 0;
	row = 0;
	place = 0;
}

inline journal_place()
{
	accepted[file] = bytes;
	accepted_link[file] = link;
	if
	:: IS_NEXT(file) -> next_sequence++
	:: else
	fi
}

inline forget_file()
{
	file = 0;
	bytes = 0;
	link = 0;
	verifier = on_the_medium;
}

#define TAKE_LATE(sequence) \
	:: d_step { \
		verifier == on_the_medium && \
			medium[sequence] && FILLS_A_GAP(sequence) && FITS(sequence) -> \
		read(sequence); \
	}

proctype Verifier()
{
end:
	do
	:: d_step {
		verifier == on_the_medium && medium[next_sequence] && FITS(next_sequence) ->
		read(next_sequence);
	}
#if defined(ON_GAP_CONTINUE) || defined(PASS_GAPS)
	/* That the next file is not there does not mean that it will not come. */
	:: d_step {
		verifier == on_the_medium && LATER_ON_MEDIUM ->
		next_sequence++;
	}
	TAKE_LATE(1)
	TAKE_LATE(2)
	TAKE_LATE(3)
	TAKE_LATE(4)
	TAKE_LATE(5)
#endif
	:: d_step {
		verifier == verified ->
		if
		:: IS_NEXT(file) || FILLS_A_GAP(file) ->
			journal_messages();
			journal_place();
		:: else ->
#ifdef TAKE_REPEATED
			journal_messages();
#else
			skip;
#endif
		fi;
		forget_file();
	}
	od
}

/* -------------------------------------------------------------------------------- replayer */

#ifdef RECORD_BEFORE_SINK
#define RECORDED_BEFORE 1
#else
#define RECORDED_BEFORE 0
#endif

#define BEGIN_DELIVERY(c) \
	:: d_step { \
		pipeline[c] == journaled && cursor[c] < journal_end[c] -> \
		pipeline[c] = delivering; \
		cursor[c] = cursor[c] + RECORDED_BEFORE; \
	}

#define SINK_ACKNOWLEDGED(c) \
	:: d_step { \
		pipeline[c] == taken -> \
		pipeline[c] = journaled; \
		cursor[c] = cursor[c] + 1 - RECORDED_BEFORE; \
	}

/* A pipeline goes on as soon as it has an outcome; the writer makes outcomes durable beside it. */
proctype Replayer()
{
end:
	do
	BEGIN_DELIVERY(0)
	BEGIN_DELIVERY(1)
	SINK_ACKNOWLEDGED(0)
	SINK_ACKNOWLEDGED(1)
	:: d_step {
		delivered[0] < cursor[0] || delivered[1] < cursor[1] ->
		delivered[0] = cursor[0];
		delivered[1] = cursor[1];
	}
	od
}

#define REPLAYER_REMEMBERS(c) (pipeline[c] != journaled || delivered[c] < cursor[c])

inline crash_replayer()
{
	for (i : 0 .. CHANNELS - 1) {
		pipeline[i] = journaled;
		cursor[i] = delivered[i];
	}
	i = 0;
}

/* ------------------------------------------------------------------------------------ sink */

/* What is recorded as delivered does not come again; what comes again comes with the same id; what
 * comes first comes in order, but for a message that filled a gap. */
proctype Sink(byte c)
{
end:
	do
	:: d_step {
		pipeline[c] == delivering ->
		row = rows[AT(c, cursor[c] - RECORDED_BEFORE)];
#ifndef RECORD_BEFORE_SINK
		for (i : 0 .. ROWS - 1) {
			assert(i >= delivered[c] || rows[AT(c, i)] != row);
		}
#endif
		i = MESSAGE_OF(row);
		if
		:: !sink_id[i] ->
			sink_id[i] = ID_OF(row);
			if
			:: late & BIT(i)
			:: else ->
				assert(i > sink_last[c]);
				sink_last[c] = i;
			fi
		:: else -> assert(sink_id[i] == ID_OF(row))
		fi;
		i = 0;
		row = 0;
		pipeline[c] = taken;
	}
	od
}

/* -------------------------------------------------------------------------------- operator */

#define RESEND(sequence) \
	:: d_step { \
		sequence <= marked_published && !medium[sequence] && !accepted[sequence] -> \
		rename_into_place(sequence, spool[sequence]); \
	}

/* Resends what is missing, once its sender's spool knows that it was published. */
proctype Operator()
{
end:
	do
	RESEND(1)
	RESEND(2)
	RESEND(3)
	RESEND(4)
	RESEND(5)
	RESEND(6)
	od
}

/* ---------------------------------------------------------------------------------- faults */

#define FAULT(possible, what) \
	:: d_step { \
		faults && (possible) -> \
		faults--; \
		what; \
	}

inline lose(sequence)
{
	medium[sequence] = 0;
	previous[sequence] = 0;
}

inline repeat(sequence)
{
	rename_into_place(sequence, spool[sequence]);
	read(sequence);
}

#define LOSE(sequence) \
	FAULT(medium[sequence] && !accepted[sequence], lose(sequence))

#define REPEAT(sequence) \
	FAULT(verifier == on_the_medium && accepted[sequence] && sequence <= marked_published, \
		repeat(sequence))

proctype Faults()
{
end:
	do
	/* Power is cut, or the process is killed. */
	FAULT(OUTER_REMEMBERS, crash_outer())
	FAULT(verifier == verified, forget_file())
	FAULT(REPLAYER_REMEMBERS(0) || REPLAYER_REMEMBERS(1), crash_replayer())
	/* A connection is cut: with it go an answer and the sender's knowledge. */
	FAULT(connected[0], connected[0] = false)
	FAULT(connected[1], connected[1] = false)
	/* The medium takes nothing now: full while staging, unavailable when it comes to the rename. */
	FAULT(outer == staged, tell_to_try_again())
	FAULT(outer == spooled, withdraw())
#ifdef WITHDRAW_SEEN
	FAULT(outer == renamed && !medium[last_sequence], withdraw())
#endif
	LOSE(1)
	LOSE(2)
	LOSE(3)
	LOSE(4)
	LOSE(5)
	LOSE(6)
	/* An operator resends what was not missing, and the verifier comes upon it. */
	REPEAT(1)
	REPEAT(2)
	REPEAT(3)
	REPEAT(4)
	REPEAT(5)
	REPEAT(6)
	/* The sink's acknowledgement is lost on the way: the same message goes again. */
	FAULT(pipeline[0] == taken, pipeline[0] = delivering)
	FAULT(pipeline[1] == taken, pipeline[1] = delivering)
	/* Enough: from here on nothing fails. */
	FAULT(true, faults = 0)
	od
}

/* --------------------------------------------------------------------------------- auditor */

/* When nothing moves any more: what was acknowledged was taken, and that is recorded. */
proctype Auditor()
{
	timeout ->
	d_step {
		for (i : 1 .. MESSAGES) {
			assert(!(acknowledged & BIT(i)) || sink_id[i]);
		}
		i = 0;
		assert(delivered[0] == journal_end[0] && delivered[1] == journal_end[1]);
		is_over = true;
	}
}

init
{
	atomic {
		for (i : 0 .. CHANNELS - 1) {
			sending[i] = FIRST(i);
			pipeline[i] = journaled;
			run Sender(i);
			run Sink(i);
		}
		i = 0;
		run Outer();
		run Verifier();
		run Replayer();
		run Operator();
		run Faults();
		run Auditor();
	}
}
