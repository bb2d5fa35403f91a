"""Sentences a house says, from templates. Knows nothing about where they go: it only writes text.

Numbers, times and units stand already spelled out, because both the teacher and the student read words.
"""

import random
from collections.abc import Callable

ROOMS = ["kitchen", "living room", "bedroom", "bathroom", "garage", "hallway", "garden", "office", "basement", "attic", "nursery", "dining room", "guest room", "porch", "laundry room", "entrance", "balcony", "terrace", "study", "pantry", "playroom", "workshop", "conservatory", "upstairs landing", "loft"]
DEVICES = ["ceiling light", "floor lamp", "fan", "heater", "air conditioner", "television", "radio", "coffee machine", "dishwasher", "washing machine", "tumble dryer", "vacuum cleaner", "garage door", "front door", "back door", "window blind", "curtain", "sprinkler", "thermostat", "security camera", "doorbell", "smoke detector", "water heater", "oven", "fridge", "freezer", "speaker", "humidifier", "air purifier", "bedside lamp", "night light", "porch light", "light strip", "projector", "charger", "heat pump", "boiler", "extractor hood", "gate", "alarm"]
ITEMS = ["milk", "bread", "eggs", "butter", "cheese", "apples", "bananas", "oranges", "rice", "pasta", "flour", "sugar", "coffee", "tea", "chicken", "fish", "potatoes", "onions", "carrots", "tomatoes", "garlic", "yogurt", "cereal", "soap", "shampoo", "toothpaste", "paper towels", "batteries", "light bulbs", "dog food", "olive oil", "honey", "chocolate", "lettuce", "mushrooms", "lemons", "salt", "pepper", "vinegar", "juice", "ice cream", "biscuits", "strawberries"]
PEOPLE = ["Anna", "Peter", "Maria", "John", "Susan", "David", "Laura", "Michael", "Emma", "Thomas", "Julia", "Daniel", "Sarah", "Robert", "Alice", "George", "Helen", "Frank", "Grace", "Henry", "Olivia", "Jack", "Sophie", "Martin", "Rachel", "Simon", "Claire", "Oscar", "Victor", "Ruth", "Joyce", "Howard", "Nathan", "Zoe", "Hugh", "Beth"]
WEATHER = ["sunny", "cloudy", "partly cloudy", "foggy", "rainy", "windy", "stormy", "snowy", "clear", "overcast", "humid", "freezing", "mild", "warm", "very hot", "dry and bright", "wet and cold", "drizzly", "misty"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
COLOURS = ["red", "green", "blue", "white", "warm white", "purple", "orange", "yellow", "pink", "turquoise", "violet", "amber", "cyan"]
CHORES = ["take out the trash", "water the plants", "call your mother", "feed the cat", "walk the dog", "pay the bills", "pick up the children", "take your medicine", "charge the car", "empty the dishwasher", "close the windows", "put the bins out", "buy a birthday present", "send the letter", "check the mail", "clean the filter", "bring in the washing", "book the dentist", "return the library books"]
EVENTS = ["a dentist appointment", "a meeting with the team", "a football match", "a dinner with friends", "a flight to Boston", "a piano lesson", "a birthday party", "a phone call with the bank", "a doctor's visit", "a parent evening", "a job interview", "a swimming lesson", "a concert", "a train to catch", "a delivery", "a yoga class", "a haircut", "a school play"]
ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth"]


def cardinal(n: int) -> str:
    """``n`` (0 to 999 999) in words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f" {ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {cardinal(n % 100)}" if n % 100 else "")
    return f"{cardinal(n // 1000)} thousand" + (f" {cardinal(n % 1000)}" if n % 1000 else "")


class House:
    """A seeded writer of household sentences."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._writers: list[Callable[[], str]] = [
            self._switched, self._climate, self._weather, self._time, self._timer, self._list, self._reminder,
            self._calendar, self._question, self._energy, self._media, self._door, self._arithmetic, self._date,
            self._sorry, self._sensor, self._automation, self._advice,
        ]  # fmt: skip

    def sentence(self) -> str:
        return self._rng.choice(self._writers)()

    def _pick(self, options: list[str] | tuple[str, ...]) -> str:
        return self._rng.choice(options)

    def _number(self, low: int, high: int) -> str:
        return cardinal(self._rng.randint(low, high))

    def _decimal(self, low: int, high: int) -> str:
        return f"{self._number(low, high)} point {self._number(0, 9)}"

    def _clock(self) -> str:
        hour, minute, half = self._rng.randint(1, 12), self._rng.choice([0, 0, 5, 10, 15, 20, 30, 45]), self._pick(
            ["", " in the morning", " in the afternoon", " in the evening", " at night", " A M", " P M"]
        )  # fmt: skip
        if self._rng.random() < 0.3:
            minute = self._rng.randint(1, 59)
        if minute == 0:
            return f"{cardinal(hour)} o'clock" if not half else f"{cardinal(hour)}{half}"
        spoken = f"oh {ONES[minute]}" if minute < 10 else cardinal(minute)
        return f"{cardinal(hour)} {spoken}{half}"

    def _switched(self) -> str:
        room, device = self._pick(ROOMS), self._pick(DEVICES)
        return self._pick([
            f"I turned on the {device} in the {room}.", f"I turned off the {device} in the {room}.",
            f"The {room} {device} is now on.", f"The {room} {device} is already off.",
            f"Turning off all the lights in the {room}.", f"Okay, the {device} will stay on for {self._number(2, 90)} minutes.",
            f"The {room} lights are set to {self._pick(COLOURS)} at {self._number(5, 100)} percent.",
            f"Dimming the {device} to {self._number(5, 95)} percent.", f"The {device} in the {room} does not respond.",
            f"Someone left the {device} on in the {room}.", f"Done, the {device} is off.",
            f"The {device} was switched on by {self._pick(PEOPLE)} at {self._clock()}.",
        ])  # fmt: skip

    def _climate(self) -> str:
        room = self._pick(ROOMS)
        return self._pick([
            f"The temperature in the {room} is {self._decimal(12, 31)} degrees.",
            f"The {room} is {self._number(14, 31)} degrees, and the humidity is {self._number(20, 90)} percent.",
            f"I set the thermostat in the {room} to {self._number(15, 25)} degrees Celsius.",
            f"It is minus {self._number(1, 20)} degrees outside.", f"The pool is at {self._number(60, 95)} degrees Fahrenheit.",
            f"Heating in the {room} starts at {self._clock()}.", f"It is too warm in the {room}, shall I open the window?",
        ])  # fmt: skip

    def _weather(self) -> str:
        day, weather = self._pick([*DAYS, "Tomorrow", "Tonight", "This afternoon", "The weekend"]), self._pick(WEATHER)
        return self._pick([
            f"{day} will be {weather}, with a high of {self._number(1, 38)} and a low of {self._number(0, 20)} degrees.",
            f"Expect {weather} weather in the {self._pick(['morning', 'afternoon', 'evening'])}.",
            f"There is a {self._number(1, 100)} percent chance of rain on {self._pick(DAYS)}.",
            f"The wind blows from the {self._pick(['north', 'south', 'east', 'west', 'north west', 'south east'])} at {self._number(2, 90)} kilometers per hour.",
            f"Sunrise is at {self._clock()}, and sunset is at {self._clock()}.",
            f"Take an umbrella, it will be {weather} later.", f"Snow is likely above {self._number(2, 20)} hundred meters.",
            f"Air pressure is {self._number(960, 1050)} hectopascals and rising.",
        ])  # fmt: skip

    def _time(self) -> str:
        return self._pick([
            f"It is {self._clock()}.", f"The time is {self._clock()}.", f"Your alarm is set for {self._clock()}.",
            f"I will wake you at {self._clock()} on {self._pick(DAYS)}.", f"The next train leaves at {self._clock()}.",
            f"It is {self._number(2, 29)} minutes past {self._number(1, 12)}.", f"It is a quarter to {self._number(1, 12)}.",
            f"It is half past {self._number(1, 12)}.",
        ])  # fmt: skip

    def _timer(self) -> str:
        return self._pick([
            f"Your {self._number(2, 60)} minute timer is done.", f"Timer set for {self._number(1, 59)} minutes and {self._number(2, 59)} seconds.",
            f"There are {self._number(2, 59)} seconds left on the {self._pick(['pasta', 'egg', 'pizza', 'tea', 'laundry', 'oven'])} timer.",
            f"I added {self._number(2, 30)} minutes to the timer.", "The timer was cancelled.",
            f"{self._number(1, 9).capitalize()} hours and {self._number(2, 59)} minutes remain.",
        ])  # fmt: skip

    def _list(self) -> str:
        first, second, third = self._rng.sample(ITEMS, 3)
        return self._pick([
            f"I added {first} to your shopping list.", f"You still need {first}, {second} and {third}.",
            f"Your shopping list has {self._number(2, 40)} items, including {first} and {second}.",
            f"There is no {first} left, should I order some?", f"Mix the {first} with the {second}, then add the {third}.",
            f"Chop the {first}, fry for {self._number(2, 20)} minutes, and season with {second}.",
        ])  # fmt: skip

    def _reminder(self) -> str:
        chore = self._pick(CHORES)
        return self._pick([
            f"Remember to {chore}.", f"{self._pick(PEOPLE)}, don't forget to {chore} before {self._clock()}.",
            f"Reminder: {chore}.", f"You asked me to remind you to {chore}.", f"Please {chore} when you have a minute.",
            f"{self._pick(PEOPLE)} promised to {chore} on {self._pick(DAYS)}.",
        ])  # fmt: skip

    def _calendar(self) -> str:
        return self._pick([
            f"You have {self._pick(EVENTS)} on {self._pick(DAYS)} at {self._clock()}.",
            f"{self._pick(PEOPLE)} has {self._pick(EVENTS)} tomorrow.", f"Your next event is {self._pick(EVENTS)}.",
            f"Nothing is planned for {self._pick(DAYS)}.", f"I moved {self._pick(EVENTS)} to {self._pick(DAYS)}.",
            f"{self._pick(PEOPLE)} and {self._pick(PEOPLE)} will arrive at {self._clock()}.",
        ])  # fmt: skip

    def _question(self) -> str:
        room, device = self._pick(ROOMS), self._pick(DEVICES)
        return self._pick([
            f"Do you want me to turn off the {device}?", f"Which {room} do you mean?", f"Should I lock the {self._pick(['front', 'back', 'garage'])} door?",
            f"Did you mean the {device} or the {self._pick(DEVICES)}?", "What would you like to add to the list?",
            f"Is anyone still in the {room}?", f"How bright should the {device} be?", f"When should I wake you on {self._pick(DAYS)}?",
            f"Who should I call, {self._pick(PEOPLE)} or {self._pick(PEOPLE)}?", f"Shall I play some music in the {room}?",
            "Are you sure?", "What can I do for you?", "Anything else?", f"Where did {self._pick(PEOPLE)} put the keys?",
        ])  # fmt: skip

    def _energy(self) -> str:
        return self._pick([
            f"The house is using {self._decimal(0, 9)} kilowatts right now.",
            f"The solar panels produced {self._decimal(1, 40)} kilowatt hours today.",
            f"The car battery is at {self._number(5, 100)} percent, and charging takes {self._number(2, 9)} hours.",
            f"Electricity costs {self._number(10, 60)} cents per kilowatt hour.", f"Your bill last month was {self._number(20, 400)} dollars and {self._number(2, 99)} cents.",
            f"The {self._pick(DEVICES)} used {self._number(20, 3000)} watts.",
        ])  # fmt: skip

    def _media(self) -> str:
        return self._pick([
            f"Playing {self._pick(['jazz', 'classical music', 'the news', 'rock', 'a podcast', 'bird songs', 'piano music'])} in the {self._pick(ROOMS)}.",
            f"Volume is at {self._number(5, 100)} percent.", "Skipping to the next song.", f"Pausing the {self._pick(['film', 'music', 'audio book', 'show'])}.",
            f"Channel {self._number(1, 99)} is showing a film about {self._pick(['whales', 'space travel', 'old castles', 'deep sea fish', 'a famous thief'])}.",
        ])  # fmt: skip

    def _door(self) -> str:
        return self._pick([
            f"Someone is at the {self._pick(['front', 'back', 'side', 'garden'])} door.", f"Motion was detected in the {self._pick(ROOMS)} at {self._clock()}.",
            f"The {self._pick(['front', 'back', 'garage'])} door has been open for {self._number(2, 59)} minutes.",
            f"A package was delivered by the {self._pick(['postman', 'courier', 'neighbour'])}.", "The alarm is armed.", "Warning, smoke in the attic!",
            f"Water was found under the {self._pick(DEVICES)}!", f"Welcome home, {self._pick(PEOPLE)}!", f"Good {self._pick(['morning', 'evening', 'night'])}, {self._pick(PEOPLE)}.",
        ])  # fmt: skip

    def _arithmetic(self) -> str:
        a, b = self._rng.randint(1, 99), self._rng.randint(1, 99)
        return self._pick([
            f"{cardinal(a)} plus {cardinal(b)} is {cardinal(a + b)}.".capitalize(), f"{cardinal(a)} times {cardinal(b)} equals {cardinal(a * b)}.".capitalize(),
            f"{self._number(100, 999999)} is a large number.".capitalize(), f"That makes {self._decimal(0, 999)} in total.",
            "One mile is about one point six kilometers.", f"The answer is {self._number(0, 99999)}.",
        ])  # fmt: skip

    def _date(self) -> str:
        return self._pick([
            f"Today is {self._pick(DAYS)}, {self._pick(MONTHS)} the {self._pick(ORDINALS)}.",
            f"The garbage is collected on the {self._pick(ORDINALS)} of {self._pick(MONTHS)}.",
            f"{self._pick(PEOPLE)} was born in nineteen {cardinal(self._rng.randint(20, 99))}.",
            f"It happened in {self._pick(MONTHS)} twenty {cardinal(self._rng.randint(10, 30))}.",
            f"The {self._pick(ORDINALS)} and the {self._pick(ORDINALS)} are holidays.",
        ])  # fmt: skip

    def _sorry(self) -> str:
        return self._pick([
            "Sorry, I did not understand that.", f"I could not find a device called {self._pick(DEVICES)}.",
            f"Sorry, the {self._pick(ROOMS)} has no {self._pick(DEVICES)}.", "I am not sure about that.",
            "There was a problem with the connection.", f"The {self._pick(DEVICES)} is not available at the moment.", "Please say that again.",
        ])  # fmt: skip

    def _sensor(self) -> str:
        return self._pick([
            f"The carbon dioxide level in the {self._pick(ROOMS)} is {self._number(400, 2000)} parts per million.",
            f"The battery of the {self._pick(DEVICES)} sensor is low.", f"The {self._pick(ROOMS)} measures {self._number(10, 900)} lux.",
            f"The rain gauge shows {self._decimal(0, 60)} millimeters.", f"The plant in the {self._pick(ROOMS)} needs water.",
            f"Noise in the {self._pick(ROOMS)} reached {self._number(30, 99)} decibels.", f"The tank holds {self._number(20, 5000)} liters.",
        ])  # fmt: skip

    def _automation(self) -> str:
        return self._pick([
            f"If it rains, I will close the {self._pick(['roof window', 'awning', 'blinds', 'skylight'])}.",
            f"Every {self._pick(DAYS)} at {self._clock()}, I start the {self._pick(DEVICES)}.",
            f"When {self._pick(PEOPLE)} leaves, the {self._pick(DEVICES)} turns itself off.",
            f"The {self._pick(['holiday', 'night', 'movie', 'away', 'party'])} scene is active in the {self._pick(ROOMS)}.",
            f"I will turn the {self._pick(DEVICES)} off after {self._number(2, 60)} minutes without motion.",
        ])  # fmt: skip

    def _advice(self) -> str:
        return self._pick([
            f"Lower the blinds in the {self._pick(ROOMS)} to keep the heat out.", f"You could save {self._number(5, 60)} dollars a month with the {self._pick(DEVICES)}.",
            f"Traffic is heavy, so leave by {self._clock()}.", f"The drive to work takes {self._number(10, 90)} minutes today.",
            f"Pollen is high, and {self._pick(PEOPLE)} should stay inside.", f"The {self._pick(DEVICES)} needs a new filter in {self._number(2, 30)} days.",
        ])  # fmt: skip
