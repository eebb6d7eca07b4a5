"""Redis or SQS as the queue, with the database's own queue behind it.

An outside queue is quicker and takes its load off the database; the job table stays the truth. While the outside one is away,
whoever sends a task puts it into the database's queue instead, so a request never fails for a broker, and every cluster looks
there too: each second beside a living outside queue, and as the one place while there is none. A process that finds it away
asks again after some seconds, so an outage costs one short wait in each such time. Nothing is opened before the first call, so
a broker may be made before a fork; each process opens its own.

Redis forgets what a killed worker had taken, and what it held when it died itself. That is a lost wake-up, which
`queue.wake_due` finds. What the clock sends has nothing behind it, so it goes through the database (`lasting`).
"""

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import boto3
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django_q.brokers import Broker
from django_q.conf import Conf

from sync.broker import PostgresBroker

logger = logging.getLogger("dialbridge.broker")

AWAY_SECONDS = 3.0
"""So long a queue that did not answer is left alone."""
LOOK_EVERY = 1.0
"""Seconds between looks into the database's queue while the outside one is there."""
ANSWER_WITHIN = 2.0
WAIT = 1
"""Whole seconds that a look into the outside queue lasts at most."""
FROM_DATABASE = "database:"
Task = tuple[str, str]
Answer = TypeVar("Answer")


@dataclass
class State:
    """What this process knows of the outside queue."""

    pid: int = field(default_factory=os.getpid)
    client: Any = None
    address: str = ""
    away_until: float = 0.0
    away: bool = False


_states: dict[type["OutsideBroker"], State] = {}


class OutsideBroker(Broker, ABC):
    """Made by the subclasses below. Ids of tasks that came from the database say so."""

    name: ClassVar[str]
    errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self.lasting = PostgresBroker(list_key)
        self._next_look = 0.0

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.lasting, self._next_look = PostgresBroker(self.list_key), 0.0

    def enqueue(self, task: str) -> str:
        sent = self._try(partial(self._send, task))
        return sent or f"{FROM_DATABASE}{self.lasting.enqueue(task)}"

    def dequeue(self) -> list[Task]:
        """Returns an empty list after a wait of a second or two."""
        if self._is_away():
            return _marked(self.lasting.dequeue())
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_EVERY
            if left := self.lasting.look():
                self._next_look = 0.0  # there may be more
                return _marked(left)
        return self._try(self._receive) or []

    def acknowledge(self, task_id: str) -> None:
        if task_id.startswith(FROM_DATABASE):
            self.lasting.acknowledge(int(task_id.removeprefix(FROM_DATABASE)))
        else:
            self._try(partial(self._finish, task_id))

    delete = fail = acknowledge

    def queue_size(self) -> int:
        return (self._try(self._size) or 0) + int(self.lasting.queue_size())

    def lock_size(self) -> int:
        return int(self.lasting.lock_size())

    def purge_queue(self) -> None:
        self._try(self._purge)
        self.lasting.purge_queue()

    delete_queue = purge_queue

    def ping(self) -> bool:
        return True  # the cluster would end if it were not, and it can work without

    def info(self) -> str:
        return f"{self.name}, and the database while it is away"

    # --- what each outside queue does in its own way

    @abstractmethod
    def _open(self) -> Any: ...

    @abstractmethod
    def _send(self, task: str) -> str: ...

    @abstractmethod
    def _receive(self) -> list[Task]: ...

    @abstractmethod
    def _finish(self, task_id: str) -> None: ...

    @abstractmethod
    def _size(self) -> int: ...

    @abstractmethod
    def _purge(self) -> None: ...

    # --- whether it is there

    @property
    def _state(self) -> State:
        state = _states.get(type(self))
        if state is None or state.pid != os.getpid():
            state = _states[type(self)] = State()
        return state

    @property
    def _client(self) -> Any:
        if self._state.client is None:
            self._state.client = self._open()
        return self._state.client

    def _is_away(self) -> bool:
        return time.monotonic() < self._state.away_until

    def _try(self, call: Callable[[], Answer]) -> Answer | None:
        """None when the outside queue is away."""
        if self._is_away():
            return None
        try:
            answer = call()
        except self.errors as error:
            self._note_trouble(error)
            return None
        if self._state.away:
            self._state.away = False
            logger.info("The queue in %s answers again.", self.name)
        return answer

    def _note_trouble(self, error: Exception) -> None:
        state = self._state
        if not state.away:
            logger.warning(
                "The queue in %s does not answer (%s): tasks go through the database until it does.",
                self.name,
                str(error).partition("\n")[0][:200] or type(error).__name__,
            )
        state.away, state.away_until = True, time.monotonic() + AWAY_SECONDS


def _marked(tasks: list[tuple[int, str]]) -> list[Task]:
    return [(f"{FROM_DATABASE}{task_id}", payload) for task_id, payload in tasks]


class RedisBroker(OutsideBroker):
    """A list. Give each installation a database number of its own."""

    name = "Redis"
    errors = (redis.RedisError, OSError)

    def _open(self) -> "redis.Redis":
        client: redis.Redis = redis.Redis.from_url(
            settings.BROKER_URL,
            socket_connect_timeout=ANSWER_WITHIN,
            socket_timeout=WAIT + ANSWER_WITHIN,
            retry=None,  # ours is the database
            health_check_interval=30,
        )
        return client

    @property
    def _list(self) -> str:
        return f"django_q:{self.list_key}:q"

    def _send(self, task: str) -> str:
        return f"redis:{self._client.rpush(self._list, task)}"

    def _receive(self) -> list[Task]:
        found = self._client.blpop([self._list], timeout=WAIT)
        return [("redis:", found[1].decode())] if found else []

    def _finish(self, task_id: str) -> None:
        """It was taken off the list when it was given out."""

    def _size(self) -> int:
        return int(self._client.llen(self._list))

    def _purge(self) -> None:
        self._client.delete(self._list)


class SqsBroker(OutsideBroker):
    """An SQS queue, made when it isn't there. A message that nobody finished comes back after the cluster's `retry`.

    Credentials, and another endpoint where there is one, come from the environment as boto3 reads it.
    """

    name = "SQS"
    errors = (BotoCoreError, ClientError, OSError)

    def _open(self) -> Any:
        patience = Config(
            connect_timeout=ANSWER_WITHIN, read_timeout=WAIT + ANSWER_WITHIN, retries={"total_max_attempts": 1}
        )
        return boto3.client("sqs", region_name=urlsplit(settings.BROKER_URL).netloc, config=patience)

    @property
    def _address(self) -> str:
        if not self._state.address:
            # Making a queue that is there already, with the same attributes, gives its address.
            self._state.address = self._client.create_queue(QueueName=self.list_key)["QueueUrl"]
        return self._state.address

    def _send(self, task: str) -> str:
        return str(self._client.send_message(QueueUrl=self._address, MessageBody=task)["MessageId"])

    def _receive(self) -> list[Task]:
        answer = self._client.receive_message(
            QueueUrl=self._address,
            MaxNumberOfMessages=min(Conf.BULK, 10),
            VisibilityTimeout=Conf.RETRY,
            WaitTimeSeconds=WAIT,
        )
        return [(one["ReceiptHandle"], one["Body"]) for one in answer.get("Messages", [])]

    def _finish(self, task_id: str) -> None:
        self._client.delete_message(QueueUrl=self._address, ReceiptHandle=task_id)

    def _size(self) -> int:
        name = "ApproximateNumberOfMessages"
        answer = self._client.get_queue_attributes(QueueUrl=self._address, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _purge(self) -> None:
        self._client.purge_queue(QueueUrl=self._address)
